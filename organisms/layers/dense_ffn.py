"""A dense feed-forward network: beside experts, instead of them, or as the fallback of dropped tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.kernel import AUTO, Kernel
from organisms.layers.activations import ACTIVATIONS
from organisms.layers.config import ExpertConfig
from organisms.layers.dropout import dropout_factors
from organisms.layers.initialisation import drawn
from organisms.layers.redrawn import drawn_once, state_of


class DenseFFN(nn.Module):
    """y = f(x W1^T + b1) W2^T + b2 with W1 [P, D], b1 [P], W2 [D, H], b2 [D]; P = 2 H if gated, else H.

    Parameters
    ----------
    config
        Shape, activation, dropout and initialisation.
    generator
        What the matrices are drawn from.
    n_layers
        L, the layers of the model, for the scaled initialisations.
    """

    def __init__(self, config: ExpertConfig, generator: torch.Generator, *, n_layers: int = 1) -> None:
        super().__init__()
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        D, H = config.d_model, config.d_hidden
        P = self.activation.width(H)
        self.W1 = nn.Parameter(drawn((P, D), (D, H), config.init, generator))
        self.W2 = nn.Parameter(drawn((D, H), (H, D), config.init, generator, writes_of=n_layers))
        self.b1 = nn.Parameter(torch.zeros(P)) if config.bias else None
        self.b2 = nn.Parameter(torch.zeros(D)) if config.bias else None

    def forward(
        self,
        x: Float[Tensor, "*batch D"],
        generator: torch.Generator | None = None,
        kernel: Kernel = AUTO,
    ) -> Float[Tensor, "*batch D"]:
        """Return the output for every vector, [..., D].

        Parameters
        ----------
        x
            Vectors, [..., D].
        generator
            What dropout in training is drawn from.
        kernel
            What computes the maps.

        Raises
        ------
        ValueError
            If the network trains with dropout and there is no generator.
        """
        before = state_of(generator)
        h = self.activation(kernel.product(x, self.W1, self.b1))
        if self.training and self.config.dropout:
            h = h * dropout_factors(h, tuple(h.shape), self.config.dropout, generator)
        return drawn_once(kernel.product(h, self.W2, self.b2), before, generator)

    def each(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return the output for every vector, [N, D], in evaluation: by torch's product, whatever N is."""
        return F.linear(self.activation.each(F.linear(x, self.W1, self.b1)), self.W2, self.b2)
