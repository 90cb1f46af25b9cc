"""What a part is worth to the task in a host by other standards than the drop of the loss; both lie in [-1, 1].

``alignment``, with y_e [S, D] the change of the host's stream by the graft on example e, and g_e the gradient of that
example's loss with respect to the stream:

    alignment = mean_e <y_e, -g_e> / (|y_e| |g_e|)

It is 1 where the part pushes the stream where the loss falls fastest, however little it writes, and -1 where it pushes
the other way; an example with y_e = 0 or g_e = 0 counts as 0.

``information``, with u [T] the first k <= 4 principal coordinates of what the part writes, t the targets, rho_i their
canonical correlations (of classes with their indicators: then prod_i (1 - rho_i^2) is Wilks' lambda) and d how many
independent numbers t has (classes less one):

    I = max(0, -1/2 sum_i log(1 - rho_i^2) - k d / (2 (T - 1))),    information = 1 - exp(-2 I)

I is the mutual information of u and t in nats if both are Gaussian, less its mean where they are independent (Bartlett
1938), and information the squared correlation of a Gaussian pair that shares as much (Linfoot 1957). Where the target
is one for an example, u is of the mean over its tokens; where each token has one, of tokens, at most 4,096 of them.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from organisms.residual.writes import Writes
from organisms.task import Task

WORTHS = ("alignment", "information")
DIRECTIONS = 4  # principal coordinates that are looked at
MOST_SAMPLES = 4096
NEGLIGIBLE = 1e-9  # share of the largest variance that counts as none


def alignment(
    first_nP: Float64[Tensor, "n P"], changes: Writes | list[Tensor], slope_PSD: Float[Tensor, "P S D"]
) -> Float64[Tensor, " n"]:
    """Return the mean cosine of n changes of the stream with minus the gradient, [n].

    Parameters
    ----------
    first_nP
        ``<y_e, -g_e>`` of each change and example.
    changes
        The changes y.
    slope_PSD
        The gradients g.
    """
    if isinstance(changes, Writes):
        sizes_nP = torch.linalg.vector_norm(changes.norms(), dim=-1).T
    else:
        sizes = [torch.linalg.vector_norm(y_PSD, dim=(-2, -1)) for y_PSD in changes]
        sizes_nP = torch.stack(sizes) if sizes else slope_PSD.new_zeros(0, len(slope_PSD))
    both_nP = sizes_nP.double() * torch.linalg.vector_norm(slope_PSD, dim=(-2, -1)).double()
    cosines_nP = torch.where(both_nP > 0, first_nP / both_nP.clamp_min(1e-300), 0.0)
    return cosines_nP.clamp(-1.0, 1.0).mean(1)


def information(writes: Writes, task: Task, targets: Tensor) -> Float64[Tensor, " n"]:
    """Return how much what n parts write tells of the targets, a share in [0, 1): [n].

    Parameters
    ----------
    writes
        What they write on P examples.
    task
        Says whether targets are classes, and of each token.
    targets
        Of the P examples.
    """
    u_nTk, found_n = _principal(_samples(writes, task))
    q_Tq, independent = _targets(task, targets)
    rho = torch.linalg.svdvals(q_Tq.T @ u_nTk).clamp(0.0, 1.0 - 1e-9)
    nats_n = -0.5 * torch.log1p(-rho.square()).sum(-1)
    by_chance_n = found_n * independent / (2 * max(1, u_nTk.shape[1] - 1))
    return -torch.expm1(-2 * (nats_n - by_chance_n).clamp_min(0.0))


def _samples(writes: Writes, task: Task) -> Float64[Tensor, "n T r"]:
    """Return what is written, as coordinates in a basis of what the part can write, of each sample."""
    values = writes.values if task.per_position else writes.values.mean(-2, keepdim=True)
    values_nTW = values.transpose(0, 1).flatten(1, 2)
    values_nTW = values_nTW[:, :: _stride(values_nTW.shape[1])].double()
    upper = torch.linalg.qr(writes.write.mT.double(), mode="r").R
    return values_nTW @ upper.mT


def _principal(z_nTr: Float64[Tensor, "n T r"]) -> tuple[Float64[Tensor, "n T k"], Float64[Tensor, " n"]]:
    """Return the first principal coordinates at unit length, zeros where there are fewer, and how many there are."""
    z = z_nTr - z_nTr.mean(1, keepdim=True)
    power, directions = torch.linalg.eigh(z.mT @ z)
    power, directions = power[:, -DIRECTIONS:], directions[..., -DIRECTIONS:]
    there = power > NEGLIGIBLE * power.amax(-1, keepdim=True).clamp_min(1e-300)
    scale = torch.where(there, power.clamp_min(1e-300).rsqrt(), 0.0)
    return (z @ directions) * scale.unsqueeze(1), there.double().sum(-1)


def _targets(task: Task, targets: Tensor) -> tuple[Float64[Tensor, "T q"], int]:
    """Return orthonormal columns that span the targets of the samples, and how many independent numbers they are."""
    flat = targets.flatten(0, 1) if task.per_position else targets
    flat = flat[:: _stride(len(flat))]
    if not task.regression:
        ones = F.one_hot(flat, task.outputs).double()
        counts = ones.sum(0)
        present = counts > 0
        return ones[:, present] / counts[present].sqrt(), int(present.sum()) - 1
    centred = flat.double() - flat.double().mean(0)
    columns, power, _ = torch.linalg.svd(centred, full_matrices=False)
    there = power > math.sqrt(NEGLIGIBLE) * power.amax().clamp_min(1e-150)
    return columns[:, there], int(there.sum())


def _stride(samples: int) -> int:
    return -(-samples // MOST_SAMPLES) or 1
