"""Entropy rank from a Gram matrix, with a gradient that is finite wherever singular values repeat or vanish."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.first_order import first_order


def entropy_rank(x: Float[Tensor, "... N D"]) -> Float[Tensor, "..."]:
    """exp(H(sigma / sum sigma)) of the singular values of x, from the smaller of its two Gram matrices.

    The rank does not depend on the scale of x, which is divided out first so that squares stay in range.
    """
    largest = x.detach().abs().amax((-2, -1), keepdim=True)
    unit = x / torch.where(largest > 0, largest, 1.0)
    wide = x.shape[-2] < x.shape[-1]
    gram = unit @ unit.transpose(-1, -2) if wide else unit.transpose(-1, -2) @ unit
    return EntropyRank.apply(gram, max(x.shape[-2:]))


class EntropyRank(torch.autograd.Function):
    """R = exp(H(p)), p = sigma / sum sigma, sigma^2 the eigenvalues of a Gram matrix C = V L V^T.

    As a function of the matrix its gradient is V diag(dR / d lambda) V^T, which does not ask how far apart two
    eigenvalues are; with dR / d lambda = -R (log p + H) / (2 sigma sum sigma). That grows without bound as
    sigma falls to zero. A direction that is not used (its eigenvalue is a rounding of the largest) is left
    out of R and has gradient zero.
    """

    @staticmethod
    def forward(ctx: Any, gram: Tensor, terms: int) -> Tensor:
        """Compute the rank from the eigenvalues; the eigenvectors are made only if a gradient is asked for.

        Parameters
        ----------
        ctx
            Keeps what the backward pass needs.
        gram
            Gram matrices, [..., n, n].
        terms
            How many products each of their numbers is the sum of.
        """
        ctx.save_for_backward(gram)
        ctx.terms = terms
        rank, _ = rank_and_slope(torch.linalg.eigvalsh(readable(gram)), terms)
        return torch.where(is_finite(gram), rank, torch.nan)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the Gram matrix, V diag(dR / d lambda) V^T."""
        (gram,) = ctx.saved_tensors
        values, vectors = torch.linalg.eigh(readable(gram))
        _, slope = rank_and_slope(values, ctx.terms)
        slope = slope * torch.where(is_finite(gram), grad, torch.nan).unsqueeze(-1)
        return (vectors * slope.unsqueeze(-2)) @ vectors.transpose(-1, -2), None


def rank_and_slope(values: Tensor, terms: int) -> tuple[Tensor, Tensor]:
    """Return R [...] and dR / d lambda [..., n] for the ascending eigenvalues of sums of `terms` products."""
    present = values > terms * torch.finfo(values.dtype).eps * values[..., -1:].abs()
    sigma = torch.where(present, values, 0.0).sqrt()
    total = sigma.sum(-1, keepdim=True)
    p = torch.where(
        present, sigma / torch.where(total > 0, total, 1.0), 1.0
    )  # log 1: no share in the entropy
    entropy = -(p * p.log()).sum(-1, keepdim=True)
    rank = torch.where(total > 0, entropy.exp(), 0.0)
    slope = -rank * (p.log() + entropy) / torch.where(present, 2 * sigma * total, 1.0)
    return rank.squeeze(-1), torch.where(present, slope, 0.0)


def is_finite(gram: Tensor) -> Tensor:
    """Whether all numbers of each matrix are finite, [...]."""
    return gram.isfinite().all(-1).all(-1)


def readable(gram: Tensor) -> Tensor:
    """Replace a matrix that is not finite by zeros: the decomposition would refuse the whole batch for it."""
    return torch.where(is_finite(gram)[..., None, None], gram, 0.0)
