"""One layer of the encoder: pseudopods and a feed-forward network, each beside the residual stream.

Shape suffixes: B examples, S tokens, D width, F hidden units.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kernels import arguments
from kernels.kernel import Kernel, Visible
from organisms.layers.activations import ACTIVATIONS
from organisms.layers.initialisation import scaled_init_
from organisms.pseudopods.heads import PseudopodAttention
from organisms.pseudopods.pool_config import PoolShape
from organisms.pseudopods.recording import Metrics

Activation = Callable[[Tensor], Tensor]


class SlimeMoldEncoderLayer(nn.Module):
    """x <- norm(x + pseudopods(x)), x <- norm(x + ffn(x)); or with norms first, x <- x + pseudopods(norm(x)), ...

    Its parts have the names that they have in `torch.nn.TransformerEncoderLayer`, but for `pseudopods`.

    Parameters
    ----------
    d_model, dim_feedforward
        D and F.
    shape
        Slots of the pseudopods.
    dropout
        Share of weights, hidden units and writes that training drops.
    activation
        Between the two maps of the feed-forward network.
    layer_norm_eps
        Under the roots of the norms.
    norm_first
        Whether norms come before pseudopods and network instead of after them.
    bias
        Whether maps and norms have biases.
    generator
        What the parameters are drawn from.
    n_layers
        Layers of the model, for the scaled initialisation.
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int,
        shape: PoolShape,
        *,
        dropout: float,
        activation: Activation,
        layer_norm_eps: float,
        norm_first: bool,
        bias: bool,
        generator: torch.Generator,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.norm_first, self.activation = norm_first, activation
        self.pseudopods = PseudopodAttention(d_model, shape, generator, n_layers=n_layers, bias=bias)
        self.linear1 = _drawn_linear(d_model, dim_feedforward, bias, generator, None)
        self.linear2 = _drawn_linear(dim_feedforward, d_model, bias, generator, n_layers)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.dropout, self.dropout1, self.dropout2 = (nn.Dropout(dropout) for _ in range(3))

    def forward(self, x: Tensor, visible: Visible, kernel: Kernel, record: Metrics | None = None) -> Tensor:
        """Return the residual stream after the layer, [B, S, D].

        Parameters
        ----------
        x
            The residual stream, [B, S, D].
        visible
            Which tokens see which.
        kernel
            What computes maps and attention.
        record
            Is told ``written``, how strongly each slot writes, [C].
        """
        if self.norm_first:
            x = x + self._attend(self.norm1(x), visible, kernel, record)
            return x + self._feed(self.norm2(x), kernel)
        x = self.norm1(x + self._attend(x, visible, kernel, record))
        return self.norm2(x + self._feed(x, kernel))

    def _attend(self, x: Tensor, visible: Visible, kernel: Kernel, record: Metrics | None) -> Tensor:
        dropout = self.dropout.p if self.training else 0.0
        attended = self.pseudopods.attended(x, visible, kernel, dropout)
        if record is not None:
            with torch.no_grad():
                record("written", self.pseudopods.strengths(attended.detach()))
        return self.dropout1(self.pseudopods.write(attended, kernel))

    def _feed(self, x: Tensor, kernel: Kernel) -> Tensor:
        hidden = kernel.product(x, self.linear1.weight, self.linear1.bias)
        hidden = self.dropout(self.activation(hidden))
        return self.dropout2(kernel.product(hidden, self.linear2.weight, self.linear2.bias))


def activation_of(given: str | Activation) -> Activation:
    """Return an activation that is given by its name, or as a function.

    Raises
    ------
    ValueError
        If there is none of this name, or it is no function.
    """
    plain = {name: each.function for name, each in ACTIVATIONS.items() if not each.gated}
    if callable(given):
        return given
    if not isinstance(given, str):
        raise ValueError(f"activation must be a name or a function, but is a {type(given).__name__}")
    arguments.one_of("activation", given, tuple(plain))
    return plain[given]


def _drawn_linear(
    inputs: int, outputs: int, bias: bool, generator: torch.Generator, writes_of: int | None
) -> nn.Linear:
    """Return a linear map that is drawn from the generator, and from no other."""
    made = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    scaled_init_(made.weight, writes_of, generator=generator)
    if bias:
        nn.init.zeros_(made.bias)
    return made
