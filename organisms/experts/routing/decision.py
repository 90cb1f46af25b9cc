"""What a router decides: which experts each token goes to, and with which weight."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RoutingInfo:
    """The routing of N tokens over E experts; each token has chosen up to K different ones.

    Everything that is dispatched, computed and combined follows from `experts`, `weights` and `kept`; the properties
    give the same in the document's words.

    Differs from the document: it stores [N, E] and [C, E] tensors, of which all but N K entries are zero.
    """

    experts: Tensor  # int64 [N, K], each in [0, E); no expert twice in a row, best first
    weights: Tensor  # floating [N, K]: float32, or float64 for float64 tokens; 0 where not kept
    chosen: Tensor  # bool [N, K]: what was asked for, before any expert ran out of places
    kept: Tensor  # bool [N, K]: the part of it that is computed; nothing of a padded token is
    mask: Tensor  # bool [N]: False where a token is padding
    gates: Tensor  # like weights, [N, E]: the scores
    logits: Tensor  # like weights, [N, E]: what the scores were made of, noise and temperature included
    limit: int | None  # places of each expert; None: no limit
    aux_lb: Tensor  # scalar: load-balancing loss, unweighted as the next three
    aux_z: Tensor  # scalar: z-loss
    aux_entropy: Tensor  # scalar: what the scores' entropy lacks to log E, nats
    aux_margin: Tensor  # scalar: what the best score's lead lacks to the wanted margin
    metrics: Mapping[str, Tensor]  # the document's names; `aux_total`, the weighted sum, alone has a gradient

    def __post_init__(self) -> None:
        """Check that the shapes fit one another.

        Raises
        ------
        ValueError
            If one does not.
        """
        (tokens, _), choices = self.gates.shape, self.experts.shape
        wanted = {
            **dict.fromkeys(("experts", "weights", "chosen", "kept"), (tokens, choices[-1])),
            "mask": (tokens,),
            "logits": tuple(self.gates.shape),
        }
        for name, shape in wanted.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"{name} of a routing of {tokens} tokens must be {shape}, but is {found}")

    @property
    def n_experts(self) -> int:
        """Number of experts E."""
        return self.gates.shape[1]

    @property
    def capacity(self) -> int:
        """Places of each expert C; without a limit the largest load, for which a GPU has to be waited for."""
        if self.limit is not None:
            return self.limit
        return int(self.loads.max()) if self.kept.numel() else 0

    @property
    def kept_mask(self) -> Bool[Tensor, "N E"]:
        """Whether an expert computes a token."""
        empty = torch.zeros_like(self.gates, dtype=torch.bool)
        return empty.scatter(1, self.experts, self.kept)

    @property
    def combine_weights(self) -> Float[Tensor, "N E"]:
        """Weight of each expert's output in each token's, 0 where it computes none."""
        return torch.zeros_like(self.gates).scatter(1, self.experts, self.weights)

    @property
    def loads(self) -> Int64[Tensor, " E"]:
        """Tokens that each expert computes."""
        return self.kept_mask.sum(0)

    @property
    def demand(self) -> Int64[Tensor, " E"]:
        """Tokens that chose each expert, those without a place included."""
        empty = torch.zeros_like(self.gates, dtype=torch.bool)
        return empty.scatter(1, self.experts, self.chosen).sum(0)

    @property
    def valid_ce(self) -> Bool[Tensor, "C E"]:
        """Which of an expert's places are taken: the first ones, as many as its load."""
        places = torch.arange(self.capacity, device=self.gates.device)
        return places[:, None] < self.loads

    @property
    def top_idx(self) -> Int64[Tensor, "C E"]:
        """The token in each expert's places, in the order of tokens; 0 where a place is free."""
        kept = self.kept_mask
        tokens, experts = kept.nonzero(as_tuple=True)
        free = torch.zeros(self.capacity, self.n_experts, dtype=torch.int64, device=kept.device)
        return free.index_put(((kept.cumsum(0) - 1)[tokens, experts], experts), tokens)

    @property
    def dropped_tokens(self) -> Bool[Tensor, " N"]:
        """Tokens, not padding, that no expert computes."""
        return self.mask & ~self.kept.any(dim=1)
