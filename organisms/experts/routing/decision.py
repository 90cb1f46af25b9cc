"""A router's decision: which experts compute each token, and with which weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RoutingInfo:
    """The routing of N tokens over E experts; each token has chosen up to K different ones.

    Dispatch and combination follow from `experts`, `weights` and `kept`; the properties have the document's names.

    Differs from the document: it stores [N, E] and [C, E] tensors, of which all but N K entries are zero.
    """

    experts: Tensor  # int64 [N, K], each in [0, E); no expert twice in a row, best first
    weights: Tensor  # gate weights [N, K]: float32, or float64 for float64 tokens; 0 where not kept
    chosen: Tensor  # bool [N, K]: the choices, before any was dropped because of capacity
    kept: Tensor  # bool [N, K]: those of them that are computed; none of a padded token is
    mask: Tensor  # bool [N]: False where a token is padding
    gates: Tensor  # scores, of the dtype of weights, [N, E]
    logits: Tensor  # the same of the scores' logits, noise and temperature included
    limit: int | None  # capacity of each expert; None: dropless
    aux_lb: Tensor  # scalar: load-balancing loss, unweighted as the next three
    aux_z: Tensor  # scalar: z-loss
    aux_entropy: Tensor  # scalar: log E less the entropy of the scores, nats
    aux_margin: Tensor  # scalar: margin loss
    metrics: Mapping[
        str, Tensor
    ]  # by the document's names; `aux_total`, the weighted sum, alone has a gradient

    def __post_init__(self) -> None:
        """Check that the shapes agree.

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
        """Capacity C of each expert; without a limit the largest load, for which a GPU has to be synchronised."""
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
        """Weight of each expert's output in that of each token, 0 where it is not computed."""
        return torch.zeros_like(self.gates).scatter(1, self.experts, self.weights)

    @property
    def loads(self) -> Int64[Tensor, " E"]:
        """Number of tokens that each expert computes."""
        return self.kept_mask.sum(0)

    @property
    def demand(self) -> Int64[Tensor, " E"]:
        """Number of tokens that chose each expert, dropped choices included."""
        empty = torch.zeros_like(self.gates, dtype=torch.bool)
        return empty.scatter(1, self.experts, self.chosen).sum(0)

    @property
    def valid_ce(self) -> Bool[Tensor, "C E"]:
        """Whether a capacity slot of an expert is taken: the first ones are, as many as its load."""
        slots = torch.arange(self.capacity, device=self.gates.device)
        return slots[:, None] < self.loads

    @property
    def top_idx(self) -> Int64[Tensor, "C E"]:
        """Token in each capacity slot of an expert, in the order of tokens; 0 where a slot is free."""
        kept = self.kept_mask
        tokens, experts = kept.nonzero(as_tuple=True)
        free = torch.zeros(self.capacity, self.n_experts, dtype=torch.int64, device=kept.device)
        return free.index_put(((kept.cumsum(0) - 1)[tokens, experts], experts), tokens)

    @property
    def dropped_tokens(self) -> Bool[Tensor, " N"]:
        """Tokens, not padding, that no expert computes."""
        return self.mask & ~self.kept.any(dim=1)
