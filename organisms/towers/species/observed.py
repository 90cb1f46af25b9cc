"""What the towers of a layer say at home, and what a tower does as a guest among a host's own.

Shape suffixes: B examples, S tokens, T = B S, n towers, m residents, W width of a tower's stream, D residual width.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from organisms.residual import mass
from organisms.residual.organism import Observed
from organisms.residual.writes import Writes
from organisms.task import Task
from organisms.towers.species.cost import cost
from organisms.towers.species.fusion import joining, weights
from organisms.towers.species.options import Fusion


@dataclass(frozen=True, eq=False)
class Opinions:
    """What n towers of a layer say about every token, and what each gives its own opinion for it."""

    fusion: Fusion
    said: Writes  # opinions without any weight
    scores_BSn: Tensor
    quiet: Sequence[float]  # share of quiet hidden units of each, where it was asked for
    genes: Sequence[Mapping[str, float]]

    @cached_property
    def heard(self) -> Writes:
        """What each adds to the stream among these towers."""
        return weighted(self.said, weights(self.fusion, self.scores_BSn))

    @cached_property
    def total_BSD(self) -> Tensor:
        """What they add to the stream together."""
        return self.heard.total()

    def without(self, tower: int) -> "Opinions":
        """Return those of all towers but one."""
        others = [n for n in range(self.scores_BSn.shape[-1]) if n != tower]
        return Opinions(self.fusion, self.said[others], self.scores_BSn[..., others], (), ())


def weighted(said: Writes, weights_BSn: Tensor) -> Writes:
    """Return opinions times how much each counts."""
    return Writes(said.values * weights_BSn.transpose(1, 2).unsqueeze(-1), said.write)


@dataclass(frozen=True, eq=False, kw_only=True)
class Competing(Observed):
    """What towers add that share each token out among themselves."""

    living: Sequence[int]
    opinions: Opinions  # of the living

    def without(self, slots: Sequence[int]) -> Iterator[Tensor]:
        """Return the change when each of n slots alone is gated off: the others share out what it had."""
        for slot in slots:
            others = self.opinions.without(self.living.index(slot))
            yield others.total_BSD - self.opinions.total_BSD


def grafted(residents: Opinions, guests: Opinions) -> Writes | Iterator[Tensor]:
    """Return the change of the stream when each of n guests alone joins the residents, n times [B, S, D].

    Where towers compete, a guest of weight w takes that share of what the residents say: ``w (opinion - total)``.
    """
    own = written(residents, guests)
    if guests.fusion != "adaptive":
        return own
    weights_BSn = joining(guests.fusion, guests.scores_BSn, residents.scores_BSn)
    return (
        y_BSD - weight_BS.unsqueeze(-1) * residents.total_BSD
        for y_BSD, weight_BS in zip(own.dense(), weights_BSn.unbind(-1), strict=True)
    )


def written(residents: Opinions, guests: Opinions) -> Writes:
    """Return what each guest itself adds to the stream when it alone joins the residents."""
    return weighted(guests.said, joining(guests.fusion, guests.scores_BSn, residents.scores_BSn))


def describe(
    task: Task, dim: int, residents: Opinions, guests: Opinions, names: Sequence[str]
) -> Mapping[str, Tensor]:
    """Measure each of n towers when it alone joins the towers of a host, float64 [n] by name.

    With the mass of `organisms.residual.mass`: the span is the mean distance of two different tokens drawn by it, the
    locality the entropy of a token drawn by it, as a share of its largest value. The sparsity is that of the hidden
    units of all stages, the intensity counted FLOPs per byte, log2. With p_e the share of tower e in the norms of all
    that the towers of the layer add to a token, the entropy is the mean of ``-sum_e p_e log p_e / log n`` and the
    sharpness the mean of its own p, both in [0, 1]. The coherence is the mean, over the host's towers of the layer, of
    the cosine of the norms that the two add to all tokens, in [0, 1]; 0 without any.

    Parameters
    ----------
    task
        Distances between its tokens are those of the span.
    dim
        Width of the residual stream.
    residents
        The host's own towers of the layer.
    guests
        The n towers.
    names
        The measures that are wanted.
    """
    weights_BSn = joining(guests.fusion, guests.scores_BSn, residents.scores_BSn).double()
    own_BnS = written(residents, guests).norms().double()
    others_BmS = residents.heard.norms().double()
    rows = []
    for tower, own_BS in enumerate(own_BnS.unbind(1)):
        left_BS = 1 - weights_BSn[..., tower] if guests.fusion == "adaptive" else torch.ones_like(own_BS)
        one = _Measured(task, dim, own_BS, others_BmS * left_BS.unsqueeze(1))
        rows.append([one.measure(name, guests, tower) for name in names])
    columns = torch.tensor(rows, dtype=torch.float64, device=own_BnS.device).reshape(-1, len(names))
    return dict(zip(names, columns.unbind(1), strict=True))


@dataclass(frozen=True, eq=False)
class _Measured:
    """The measures of a single tower in a host, each a number."""

    task: Task
    dim: int
    own_BS: Tensor  # norms of what it adds to every token
    others_BmS: Tensor  # those of what the host's towers add then

    def measure(self, name: str, guests: Opinions, tower: int) -> float:
        match name:
            case "attention_span":
                return mass.span(self.own_BS, self.task)
            case "access_locality":
                return mass.spread(self.own_BS, self.task)
            case "activation_sparsity":
                return guests.quiet[tower]
            case "compute_intensity":
                flops, bytes_moved = cost(self.task, self.dim, guests.genes[tower])
                return math.log2(flops / bytes_moved)
            case "attention_entropy":
                entropy = -torch.xlogy(self._shares, self._shares).sum(1)
                return mass.mean(entropy.flatten()) / max(math.log(self._shares.shape[1]), 1e-12)
            case "attention_sharpness":
                return mass.mean(self._shares[:, -1].flatten())
        others_mT = self.others_BmS.transpose(0, 1).flatten(1)
        return mass.coherence(self.own_BS.flatten(), others_mT)

    @cached_property
    def _shares(self) -> Tensor:
        """The share of each tower, its own last, in the norms of what all add to a token, [B, m + 1, S]."""
        norms = torch.cat([self.others_BmS, self.own_BS.unsqueeze(1)], 1)
        return norms / norms.sum(1, keepdim=True).clamp_min(1e-300)
