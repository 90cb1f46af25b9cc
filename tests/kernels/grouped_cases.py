"""Rows in groups of every kind, the grouped product a row at a time in float64, and the error of a path."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kernels.grouped_gemm import reference

# The rows of each group, and K and N; 150 rows of 70 and 130 columns need several tiles each way.
CASES = {
    "uneven": ((3, 1, 7, 2), 6, 5),
    "aligned": ((8, 24, 16), 16, 8),
    "empty groups": ((0, 5, 0, 0, 4, 0), 8, 4),
    "one group": ((63,), 9, 3),
    "all rows in one": ((0, 0, 100, 0), 12, 16),
    "zero rows": ((0, 0, 0), 8, 8),
    "one row": ((0, 1), 1, 1),
    "several tiles": ((64, 1, 0, 85), 70, 130),
    "every length": ((1, 2, 63, 64, 65, 100, 127, 257), 40, 128),
}


def drawn(
    sizes: tuple[int, ...], inner: int, columns: int, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw x, weights and a gradient of the result, with the offsets: x, weights, offsets, grad."""
    stream = torch.Generator().manual_seed(0)
    shapes = ((sum(sizes), inner), (len(sizes), inner, columns), (sum(sizes), columns))
    x, weights, grad = (
        torch.randn(s, generator=stream, dtype=torch.float64).to(device, dtype) for s in shapes
    )
    return x, weights, torch.tensor(sizes).cumsum(0).to(device), grad


def strided(tensor: Tensor) -> Tensor:
    """Give the same numbers every other place in memory, with NaN between."""
    wide = torch.full((*tensor.shape, 2), torch.nan, dtype=tensor.dtype)
    wide[..., 0] = tensor
    return wide[..., 0]


def shifted(tensor: Tensor) -> Tensor:
    """Give the same numbers one element further in memory, where an operand is not aligned."""
    return torch.cat([torch.zeros(1, dtype=tensor.dtype), tensor.flatten()])[1:].view(tensor.shape)


LAYOUTS = {
    "every other number": strided,
    "transposed": lambda tensor: tensor.mT.contiguous().mT,
    "off alignment": shifted,
    "rows of a wider tensor": lambda tensor: torch.cat([tensor, tensor], -1)[..., : tensor.shape[-1]],
}


def by_rows(x: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    """Give each row its own copy of its matrix, and multiply."""
    own = torch.searchsorted(offsets, torch.arange(len(x), device=x.device), right=True)
    return torch.einsum("mk,mkn->mn", x, weights[own])


def results(
    function: Callable[..., Tensor], x: Tensor, weights: Tensor, offsets: Tensor, grad: Tensor, **given
):
    """Compute the product and both gradients: y, dx, dweights."""
    x, weights = x.detach().requires_grad_(), weights.detach().requires_grad_()
    y = function(x, weights, offsets, **given)
    return y.detach(), *torch.autograd.grad(y, (x, weights), grad)


def exact(x: Tensor, weights: Tensor, offsets: Tensor, grad: Tensor):
    return results(by_rows, x.double(), weights.double(), offsets, grad.double())


def errors(found, wanted) -> list[float]:
    """The largest difference in each result; a result without elements has none."""
    pairs = zip(found, wanted, strict=True)
    return [float((f.double() - w).abs().max()) if f.numel() else 0.0 for f, w in pairs]


def assert_a_nan_stays_in_its_group(
    function: Callable[..., Tensor], x: Tensor, weights: Tensor, offsets: Tensor, grad: Tensor, **given
) -> None:
    """Fill the rows and the matrix of group 1 with NaN: all of its results are NaN, and no other changes."""
    clean = results(function, x, weights, offsets, grad, **given)
    x, weights, grad = x.clone(), weights.clone(), grad.clone()
    start, end = offsets[:2].tolist()
    x[start:end], weights[1], grad[start:end] = torch.nan, torch.nan, torch.nan
    parts = (slice(start, end), slice(start, end), slice(1, 2))
    dirty = results(function, x, weights, offsets, grad, **given)
    for found, before, part in zip(dirty, clean, parts, strict=True):
        assert found[part].isnan().all()
        found[part] = before[part]
        assert torch.equal(found, before)


def assert_as_exact_as_plain_torch(
    function: Callable[..., Tensor],
    x: Tensor,
    weights: Tensor,
    offsets: Tensor,
    grad: Tensor,
    plain: Sequence[Callable[..., Tensor]] = (reference.grouped_gemm,),
) -> None:
    """Compare the errors of a path with the largest of some plain ones in torch: at most twice as large."""
    inputs = (x, weights, offsets, grad)
    wanted = exact(*inputs)
    found = results(function, *inputs)
    assert all(each.dtype == x.dtype for each in found)
    plain_errors = map(max, zip(*(errors(results(each, *inputs), wanted) for each in plain), strict=True))
    # Few sums of few numbers can all be right to the last bit in one order; in another they need not be.
    last_bit = [torch.finfo(x.dtype).eps * float(w.abs().max()) if w.numel() else 0.0 for w in wanted]
    allowed = [2 * error + bit for error, bit in zip(plain_errors, last_bit, strict=True)]
    assert all(f <= most for f, most in zip(errors(found, wanted), allowed, strict=True))


def assert_repeatable(
    function: Callable[..., Tensor],
    x: Tensor,
    weights: Tensor,
    offsets: Tensor,
    grad: Tensor,
    *,
    repeats: int,
    **given,
) -> None:
    """Compute all that often: every result has the same bits each time."""
    first = results(function, x, weights, offsets, grad, **given)
    for _ in range(repeats - 1):
        again = results(function, x, weights, offsets, grad, **given)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
