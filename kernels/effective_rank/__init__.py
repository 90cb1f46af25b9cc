"""Effective rank: how many directions a set of vectors uses."""

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import arguments, backends
from kernels.effective_rank import reference
from kernels.effective_rank.entropy import entropy_rank
from kernels.scaling import in_range

__all__ = ["effective_rank"]

METRICS = ("participation", "entropy")


def effective_rank(
    x: Float[Tensor, "... N D"], *, metric: str = "participation", backend: str = "auto"
) -> Float[Tensor, "..."]:
    """Count the directions that N vectors of D features use, between 1 and min(N, D); 0 for zeros.

    "participation" is the participation ratio ``tr(C)^2 / ||C||_F^2`` of the Gram matrix C = x^T x: (sum of
    squared singular values)^2 over the sum of their fourth powers, without a decomposition. "entropy" is
    ``exp(H(p))`` of the singular values' shares p = sigma / sum sigma (Roy and Vetterli 2007), which gives
    weak directions more weight. Neither depends on the scale of ``x``. Both have finite gradients where singular
    values repeat or vanish, and zero gradients at zeros. The entropy's true slope is infinite at a singular value
    of zero: singular values under about 1e-7 of the largest count as zero and have gradient zero.

    Parameters
    ----------
    x
        Vectors, [..., N, D], on any device and with any strides; leading axes are a batch.
    metric
        "participation" or "entropy".
    backend
        "auto": for the participation ratio of CUDA tensors of at most 32 bits a number Triton, if it can be imported,
        else torch. Or by name "reference", "torch" or "triton", which is for the participation ratio alone and
        adds up in float32. The others compute in float64. The result has the dtype of ``x``.

    Raises
    ------
    ValueError
        If ``metric`` or ``backend`` is not known; if ``x`` holds no floating-point numbers, has fewer than two axes,
        or has so many features that the Gram matrix would take more than 16 GiB; if "triton" cannot serve
        what is asked.
    """
    arguments.one_of("metric", metric, METRICS)
    arguments.matrices("x", x)
    participation = metric == "participation"
    if backend == "triton" and not participation:
        raise ValueError(
            f"backend 'triton' serves metric 'participation' alone, but metric is {metric!r}; leave out backend"
        )
    chosen = backends.path(backend, "x", x, triton=participation)
    side = x.shape[-1] if participation and chosen == "torch" else min(x.shape[-2:])
    arguments.allocatable("x", (*x.shape[:-2], side, side), torch.float64)
    if not x.numel():  # no vectors or no features: nothing is used, and there is nothing to decompose
        return x.sum((-2, -1))
    with backends.exact(x):
        return _computed(x, participation, chosen)


def _computed(x: Tensor, participation: bool, chosen: str) -> Tensor:
    if chosen == "triton":
        found = participation_on_triton(x)
    elif chosen == "reference":
        definition = reference.participation if participation else reference.entropy
        found = definition(in_range(x.double(), (-2, -1)))
    elif participation:
        found = participation_ratio(by_features(in_range(x.double(), (-2, -1))))
    else:
        found = entropy_rank(x.double())
    return found.to(x.dtype)


def by_features(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Return x^T x, also where there are fewer vectors than features: x x^T would sum in another order."""
    return x.transpose(-1, -2) @ x


def participation_ratio(gram: Float[Tensor, "... n n"]) -> Float[Tensor, "..."]:
    """Return the squared trace of a Gram matrix over its squared Frobenius norm; 0 for zeros."""
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    square = gram.square().sum((-2, -1))
    return trace.square() / torch.where(square > 0, square, torch.ones_like(square))


def participation_on_triton(x: Float[Tensor, "... N D"]) -> Float[Tensor, "..."]:
    """Participation ratio from the smaller Gram matrix in float32; x is scaled so that squares stay in range."""
    from kernels.correlation import triton_gram

    largest = x.detach().float().abs().amax((-2, -1), keepdim=True)
    unit = x.float() / torch.where(largest > 0, largest, 1.0)
    smaller = unit.transpose(-1, -2) if x.shape[-2] < x.shape[-1] else unit
    return participation_ratio(triton_gram.gram(smaller).double())
