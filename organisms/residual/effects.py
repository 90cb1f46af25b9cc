"""Measures that follow from what a guest writes and from what it does to a host's losses, in any residual family.

With y [P, S, D] what a guest itself writes (`organisms.residual.organism.ResidualOrganism.written`), x the stream after
its layer, d_e the drop of the loss of example e when it is grafted, f_e the drop to first order ``-<dloss_e/dx, y_e>``
and t_e the drop when the change of the stream reaches the readout unaltered by later layers:

- ``effective_rank``: participation ratio of the directions of y, in [0, D]
- ``write_strength``: ``log10 |y| / |x|``
- ``write_likeness``: cosine of y and the sum of what the host's own components of the layer write, in [-1, 1]
- ``write_constancy``: ``|mean_e y_e|^2 / mean_e |y_e|^2``, in [0, 1]; 1 where every example is written the same
- ``projection_K``: a control that means nothing, ``sum_td R_td mean_e y_etd / sqrt(mean_e |y_e|^2)`` with R [S, D] of
  normal numbers, the same for whoever asks for the K-th
- ``coherence`` and ``correlation``: how like the host's own components of the layer it writes (`residual.alike`)
- ``gradient_flow``: ``log10 (mean_e sqrt |f_e|)^2``
- ``served_share``: share of the examples with ``d_e > 0``, in [0, 1]
- ``effect_evenness``: ``(mean sqrt |d_e|)^2 / mean |d_e|``, in [0, 1]; 1/P where one example alone is affected
- ``effect_curvature``: ``sum |d_e - f_e| / sum (|f_e| + |d_e - f_e|)``, in [0, 1]; 0 where the effect is linear
- ``effect_depth``: ``sum |d_e - t_e| / sum (|t_e| + |d_e - t_e|)``, in [0, 1]; 0 in the last layer

A share of nothing is 0. Source: effective rank as in `kernels.effective_rank`; direct and total effects as in Wang et
al., "Interpretability in the wild", ICLR 2023.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from organisms.residual.alike import OF_PAIRS
from organisms.residual.writes import Writes
from qd.seeding import generator

SMALLEST = 1e-12  # gradient in nats, or share, that is still told from none
OF_WRITES = ("effective_rank", "write_strength", "write_likeness", "write_constancy")
PROJECTION = "projection_"  # and a number
OF_LOSSES = ("served_share", "effect_evenness", "effect_curvature", "effect_depth")
EFFECTS = (*OF_WRITES, *OF_PAIRS, "gradient_flow", *OF_LOSSES)


def of_writes(name: str, writes: Writes, stream: Tensor, residents: Tensor) -> Tensor:
    """Return a measure of what each of n guests writes, float64 [n].

    Parameters
    ----------
    name
        One of `OF_WRITES`, or a projection.
    writes
        What they write.
    stream
        The host's stream after the layer, [P, S, D].
    residents
        What the host's own components of the layer write together, [P, S, D].
    """
    if name.startswith(PROJECTION):
        return writes.projected(_direction(name, *stream.shape[1:]).to(stream.device))
    match name:
        case "effective_rank":
            return writes.effective_rank
        case "write_strength":
            return (writes.size / stream.double().square().sum()).clamp_min(SMALLEST**2).log10() / 2
        case "write_likeness":
            return writes.cosine(residents)
    return writes.constancy


def is_of_writes(name: str) -> bool:
    """Whether a measure follows from what a guest writes (`of_writes`)."""
    return name in OF_WRITES or name.startswith(PROJECTION)


def is_effect(name: str) -> bool:
    """Whether a measure is one of those that are described here."""
    return name in EFFECTS or is_of_writes(name)


@cache
def _direction(name: str, tokens: int, width: int) -> Tensor:
    draws = generator(0, 0, f"{name} of {tokens} x {width}").standard_normal((tokens, width))
    return torch.from_numpy(draws)


def served(drops: Tensor) -> Tensor:
    """Return the share of examples whose loss drops, of drops [n, P]."""
    return (drops > 0).double().mean(1)


def evenness(drops: Tensor) -> Tensor:
    """Return ``(mean sqrt |d|)^2 / mean |d|`` of each row of drops [n, P]; 0 where nothing drops or rises.

    Differs from the participation ratio ``(mean |d|)^2 / mean d^2``, which few examples dominate once a network has
    learnt the others: its values on two halves of the probe split agree less.
    """
    size = drops.abs()
    mean = size.mean(1)
    return torch.where(mean > 0, size.sqrt().mean(1).square() / mean.clamp_min(1e-300), 0.0)


def beyond(drops: Tensor, simple: Tensor) -> Tensor:
    """Return the part of drops [n, P] that a simpler account of them leaves out, a share in [0, 1]: [n]."""
    left_out = (drops - simple).abs().sum(1)
    whole = simple.abs().sum(1) + left_out
    return torch.where(whole > 0, left_out / whole.clamp_min(1e-300), 0.0)


def wants_losses(names: Sequence[str]) -> bool:
    """Whether one of these measures follows from the drops of losses."""
    return any(name in OF_LOSSES for name in names)
