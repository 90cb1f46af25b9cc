"""Attention, its statistics and its gradients with the whole matrix of weights, in any precision."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

MARGIN = 256


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What a forward and a backward pass are given."""

    q: Tensor
    k: Tensor
    v: Tensor
    grad: Tensor
    scale: Tensor
    causal: bool
    window: Tensor | None
    key_mask: Tensor | None
    positions: Tensor

    @property
    def seeing(self) -> tuple[Tensor, bool, Tensor | None, Tensor | None, Tensor]:
        """What both passes are given after the tensors that have gradients."""
        return self.scale, self.causal, self.window, self.key_mask, self.positions


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What they have to come to; `statistics` [5, B, H, S] as the kernels order them."""

    output: Tensor
    lse: Tensor
    statistics: Tensor
    gradients: tuple[Tensor, Tensor, Tensor]


def drawn(
    sizes: tuple[int, int, int, int, int],
    dtype: torch.dtype = torch.float32,
    *,
    causal: bool = False,
    window: tuple[float, ...] | None = None,
    masked: bool = False,
    axes: int = 1,
    device: str = "cpu",
) -> Case:
    """Draw a case of sizes B, H, S, R, W; positions are a line, or a grid eight wide, of whole numbers."""
    B, H, S, R, W = sizes
    stream = torch.Generator().manual_seed(S)
    shapes = ((B, H, S, R), (B, H, S, R), (B, H, S, W), (B, H, S, W))
    q, k, v, grad = (among_nan(torch.randn(shape, generator=stream), dtype, device) for shape in shapes)
    token = torch.arange(S)
    line, grid = (token,), (token // 8, token % 8, token % 3)
    positions = torch.stack(line if axes == 1 else grid[:axes], -1)
    key_mask = torch.rand(B, S, generator=stream) < 0.6
    key_mask[0, : S // 2] = False  # with a causal mask, the first queries see no key
    return Case(
        q, k, v, grad,
        scale=among_nan(0.2 + torch.rand(H, generator=stream), torch.float32, device),
        causal=causal,
        window=None if window is None else among_nan(torch.tensor(window), torch.float32, device),
        key_mask=among_nan(key_mask, torch.uint8, device) if masked else None,
        positions=among_nan(positions, torch.float32, device),
    )  # fmt: skip


def among_nan(values: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    """Copy values to where a read beside them finds NaN, or in a mask a key that may be seen."""
    memory = torch.ones if dtype == torch.uint8 else torch.zeros
    around = memory(values.numel() + 2 * MARGIN, dtype=dtype, device=device)
    if dtype.is_floating_point:
        around.fill_(torch.nan)
    inner = around[MARGIN:-MARGIN].view(values.shape)
    inner.copy_(values)
    return inner


def visible(case: Case) -> Tensor:
    """Say which query sees which key, [B, H, S, S]."""
    B, H, S, _ = case.q.shape
    seen = torch.ones(B, H, S, S, dtype=torch.bool, device=case.q.device)
    if case.causal:
        seen &= seen.tril()
    if case.window is not None:
        seen &= distances(case).float() < case.window[:, None, None]
    if case.key_mask is not None:
        seen &= case.key_mask.bool()[:, None, None, :]
    return seen


def distances(case: Case) -> Tensor:
    """How far the tokens are from each other, [S, S]."""
    x = case.positions.double()
    return (x[:, None] - x[None, :]).square().sum(-1).sqrt()


def by_definition(case: Case, dtype: torch.dtype = torch.float64) -> Answer:
    """Compute a case in one precision."""
    q, k, v = inputs = [tensor.to(dtype).requires_grad_() for tensor in (case.q, case.k, case.v)]
    seen = visible(case)
    blind = ~seen.any(-1, keepdim=True)
    scores = (q @ k.mT) * case.scale.to(dtype)[:, None, None]
    weights = scores.masked_fill(~seen & ~blind, -torch.inf).softmax(-1).masked_fill(blind, 0.0)
    output = weights @ v
    gradients = torch.autograd.grad(output, inputs, case.grad.to(dtype))
    with torch.no_grad():
        lse = scores.masked_fill(~seen, -torch.inf).logsumexp(-1)
        return Answer(output.detach(), lse, statistics(case, weights.double()), gradients)


def statistics(case: Case, weights: Tensor) -> Tensor:
    """Span, locality, entropy, sum of squares and largest weight of each query."""
    x = case.positions.to(weights.dtype)
    middle = weights @ x
    off = (x - middle[..., None, :]).square().sum(-1)
    return torch.stack(
        [
            (weights * distances(case).to(weights.dtype)).sum(-1),
            (weights * off).sum(-1).sqrt(),
            torch.special.entr(weights).sum(-1),
            weights.square().sum(-1),
            weights.amax(-1),
        ]
    )


def assert_as_exact(found: Tensor, plain: Tensor, exact: Tensor, floor: float = 2e-7) -> None:
    """Allow twice the error of plain torch in the same precision, in the root mean square."""
    errors = [root_mean_square(each.double() - exact) for each in (found, plain)]
    assert errors[0] <= 2 * errors[1] + floor, errors


def root_mean_square(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def with_hidden_keys(case: Case, value: float) -> Case:
    """Put a value into the keys and values that the mask hides."""
    assert case.key_mask is not None
    hidden = (case.key_mask == 0)[:, None, :, None]
    return replace(case, k=case.k.masked_fill(hidden, value), v=case.v.masked_fill(hidden, value))
