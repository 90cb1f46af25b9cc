"""The experts of a layer as a module, with stacked parameters."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from organisms.experts.dispatch.expert_outputs import Experts, expert_outputs
from organisms.layers.activations import ACTIVATIONS
from organisms.layers.config import ExpertConfig
from organisms.layers.dropout import dropout_factors
from organisms.layers.initialisation import drawn
from organisms.layers.redrawn import drawn_once, state_of


class ExpertFFN(nn.Module):
    """E feed-forward networks of one shape: W1 [E, D, P], b1 [E, P], W2 [E, H, D], b2 [E, D].

    P is H, or 2 H where the activation is gated: the columns of the gates, then those of the values.

    Parameters
    ----------
    config
        Their shape, activation, dropout and initialisation.
    n_experts
        E.
    generator
        What the matrices are drawn from.
    n_layers
        L, the layers of the model, for the scaled initialisations.
    """

    def __init__(
        self, config: ExpertConfig, n_experts: int, generator: torch.Generator, *, n_layers: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        E, D, H = n_experts, config.d_model, config.d_hidden
        P = self.activation.width(H)
        self.W1 = nn.Parameter(drawn((E, D, P), (D, H), config.init, generator))
        self.W2 = nn.Parameter(drawn((E, H, D), (H, D), config.init, generator, writes_of=n_layers))
        self.b1 = nn.Parameter(torch.zeros(E, P)) if config.bias else None
        self.b2 = nn.Parameter(torch.zeros(E, D)) if config.bias else None

    def matrices(self) -> Experts:
        """Return the matrices and the activation, which are all that evaluation needs."""
        return Experts(self.W1, self.W2, self.b1, self.b2, self.activation)

    def forward(
        self,
        rows: Float[Tensor, "M D"],
        offsets: Int64[Tensor, " E"] | None = None,
        *,
        compute: str = "grouped_gemm",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "M D"]:
        """Return the output of its expert for each row, [M, D].

        Parameters
        ----------
        rows
            Sorted by expert, [M, D].
        offsets
            The end of each expert's rows, [E]; None: each has M / E.
        compute
            "grouped_gemm", "bmm" or "einsum", as in `expert_outputs`.
        generator
            What dropout is drawn from in training.

        Raises
        ------
        ValueError
            If the experts train with dropout and there is no generator; if there are no `offsets`, and E does not
            divide M.
        """
        if offsets is None and len(rows) % len(self.W1):
            raise ValueError(
                f"rows without offsets must be as many for each of the {len(self.W1)} experts, but are {len(rows)} "
                "together; pass the ends of the experts' rows"
            )
        keep, before = None, state_of(generator)
        if self.training and self.config.dropout:
            # Drawn outside the checkpoint, so that recomputed activations meet the same dropout.
            keep = dropout_factors(rows, (len(rows), self.config.d_hidden), self.config.dropout, generator)
        experts = self.matrices()

        def outputs(rows: Tensor) -> Tensor:
            return expert_outputs(rows, offsets, experts, compute=compute, keep=keep)

        if self.config.checkpoint_experts and torch.is_grad_enabled():
            y = checkpoint(outputs, rows, use_reentrant=False, preserve_rng_state=False)
        else:
            y = outputs(rows)
        return drawn_once(y, before, generator)
