"""The pseudopods of a layer: slots, each empty or an attention head with a rank and a width of its own.

Shape suffixes: B examples, S tokens, D width of the residual stream, C slots, R and W largest sizes of a head.
"""

import torch
from torch import Tensor, nn

from kernels.kernel import AUTO, Kernel, Visible
from organisms.layers.initialisation import drawn
from organisms.pseudopods.pool_config import PoolShape

SIZES = ("ranks", "widths")


class PseudopodAttention(nn.Module):
    """y = b + sum_c softmax((x U_c + u_c) (x V_c)^T / sqrt(rank_c)) (x A_c + a_c) O_c, with one factor a slot.

    Each product of a query and a key, U_c V_c^T, and of a value and what it writes, A_c O_c, is held as its factors:
    `query` and `key` [C, R, D], `value` and `output` [C, W, D]. A head that is smaller than its slot has rows of zeros
    behind its rank and width, an empty slot has nothing else. Such rows have gradients of zero, because the other
    factor's are zeros too, so that they stay what they are, whatever optimizer is used.

    There is no bias of keys: a query's product with it is the same for all keys, and the softmax does not see it.

    Parameters
    ----------
    d_model
        D.
    shape
        Slots, and the sizes of those that live.
    generator
        What the factors are drawn from, head by head, so that empty slots change nothing.
    n_layers
        Layers of the model, for the scaled initialisation.
    bias
        Whether queries, values and what is written have biases.
    """

    query: nn.Parameter
    key: nn.Parameter
    value: nn.Parameter
    output: nn.Parameter
    query_bias: nn.Parameter | None
    value_bias: nn.Parameter | None
    bias: nn.Parameter | None
    ranks: Tensor
    widths: Tensor
    watched: bool = False  # whether a training pass leaves in `seen` what it read, and which tokens see which
    seen: tuple[Tensor, Visible] | None = None

    def __init__(
        self,
        d_model: int,
        shape: PoolShape,
        generator: torch.Generator,
        *,
        n_layers: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        C, R, W, D = shape.slots, shape.max_rank, shape.max_width, d_model
        factors = {"query": R, "key": R, "value": W, "output": W}
        drawn_factors = {name: torch.zeros(C, rows, D) for name, rows in factors.items()}
        inner = sum(shape.widths)
        for slot, (rank, width) in enumerate(zip(shape.ranks, shape.widths, strict=True)):
            for name, rows in (("query", rank), ("key", rank), ("value", width)):
                drawn_factors[name][slot, :rows] = drawn((rows, D), (D, D), "xavier_uniform", generator)
            written = drawn((width, D), (inner, D), "scaled_xavier", generator, writes_of=n_layers)
            drawn_factors["output"][slot, :width] = written
        for name, factor in drawn_factors.items():
            self.register_parameter(name, nn.Parameter(factor))
        for name, size in (("query_bias", (C, R)), ("value_bias", (C, W)), ("bias", (D,))):
            self.register_parameter(name, nn.Parameter(torch.zeros(size)) if bias else None)
        for name, sizes in zip(SIZES, (shape.ranks, shape.widths), strict=True):
            self.register_buffer(name, torch.tensor([*sizes, *[0] * (C - len(sizes))]))

    def living(self) -> list[int]:
        """Return the slots that hold a head."""
        return [slot for slot, rank in enumerate(self.ranks.tolist()) if rank]

    def forward(self, x: Tensor, visible: Visible, kernel: Kernel, dropout: float = 0.0) -> Tensor:
        """Return what the heads write, [B, S, D].

        Parameters
        ----------
        x
            Tokens, [B, S, D].
        visible
            Which tokens see which.
        kernel
            What computes maps and attention.
        dropout
            Share of the weights that is dropped.
        """
        return self.write(self.attended(x, visible, kernel, dropout), kernel)

    def attended(self, x: Tensor, visible: Visible, kernel: Kernel, dropout: float = 0.0) -> Tensor:
        """Return what each head attends to, [B, C, S, W].

        Parameters
        ----------
        x, visible, kernel, dropout
            As `forward` takes them.
        """
        if self.watched and torch.is_grad_enabled():
            self.seen = (x.detach(), visible)
        q_BCSR, k_BCSR, v_BCSW = self.read(x, kernel)
        if not x.numel():  # kernels refuse what is empty; parameters have gradients all the same, of zeros
            return v_BCSW + 0 * (q_BCSR.sum() + k_BCSR.sum())
        return kernel.attention(q_BCSR, k_BCSR, v_BCSW, visible, dropout)

    def read(self, x: Tensor, kernel: Kernel = AUTO) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of tokens [B, S, D], [B, C, S, *]."""
        return self.queries(x, kernel), self.keys(x, kernel), self.values(x, kernel)

    def queries(self, x: Tensor, kernel: Kernel = AUTO) -> Tensor:
        """Return the queries of tokens [B, S, D], divided by the roots of the ranks, [B, C, S, R]."""
        scale_C = self.ranks.clamp(min=1).to(torch.float32).rsqrt().to(self.query.dtype)
        bias = None if self.query_bias is None else self.query_bias * scale_C[:, None]
        return _mapped(x, self.query * scale_C[:, None, None], bias, kernel)

    def keys(self, x: Tensor, kernel: Kernel = AUTO) -> Tensor:
        """Return the keys of tokens [B, S, D], [B, C, S, R]."""
        return _mapped(x, self.key, None, kernel)

    def values(self, x: Tensor, kernel: Kernel = AUTO) -> Tensor:
        """Return the values of tokens [B, S, D], [B, C, S, W]."""
        return _mapped(x, self.value, self.value_bias, kernel)

    def write(self, attended: Tensor, kernel: Kernel = AUTO) -> Tensor:
        """Return what is written, [B, S, D], when the heads attend to [B, C, S, W]."""
        return kernel.product(attended.transpose(1, 2).flatten(2), self.output.flatten(0, 1).T, self.bias)

    def strengths(self, attended: Tensor) -> Tensor:
        """Return the root mean square of what each head writes when it attends to [B, C, S, W], without a bias; [C]."""
        gram_CWW = self.output @ self.output.mT
        each_CNW = attended.transpose(0, 1).flatten(1, 2)
        squares = ((each_CNW @ gram_CWW) * each_CNW).sum(-1)
        return (squares.mean(1) / self.output.shape[2]).clamp(min=0).sqrt()


def _mapped(x: Tensor, factor: Tensor, bias: Tensor | None, kernel: Kernel) -> Tensor:
    """Map tokens [B, S, D] by factors [C, N, D] of all slots at once, to [B, C, S, N]."""
    mapped = kernel.product(x, factor.flatten(0, 1), None if bias is None else bias.flatten())
    return mapped.unflatten(-1, factor.shape[:2]).transpose(1, 2)
