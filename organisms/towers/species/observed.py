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
from organisms.residual.organism import Observed, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task
from organisms.towers.species.cost import cost
from organisms.towers.species.fusion import joining, weights
from organisms.towers.species.stack import Stack


@dataclass(frozen=True, eq=False)
class Opinions:
    """What n towers of a layer say about every token, and what each gives its own opinion for it."""

    stack: Stack
    h_BSD: Tensor  # what they read
    said: Writes  # opinions without any weight
    scores_BSn: Tensor
    hidden: Sequence[Tensor]  # of each stage, [n, T, H]
    gates_n: Tensor | None = None

    @classmethod
    def of(cls, stack: Stack, h_BSD: Tensor, gates_n: Tensor | None = None) -> "Opinions":
        """Let towers read a stream, and one another's messages where they hear any.

        Parameters
        ----------
        stack
            The n towers, at least one.
        h_BSD
            The normalised stream.
        gates_n
            Their gates, in (0, 1]; None: all are 1.
        """
        streams_BnSW, hidden = stack.passed(h_BSD)
        if stack.messages and len(stack.genes) > 1:
            streams_BnSW, hidden = stack.passed(h_BSD, stack.heard(stack.said(streams_BnSW), gates_n))
        said, scores_BSn = stack.said(streams_BnSW), stack.scores(streams_BnSW)
        return cls(stack, h_BSD, said, scores_BSn, hidden, gates_n)

    def __getitem__(self, towers: Sequence[int]) -> "Opinions":
        """Return those of some towers, as they are."""
        hidden = [each[towers] for each in self.hidden]
        gates_n = None if self.gates_n is None else self.gates_n[towers]
        scores_BSn = self.scores_BSn[..., towers]
        return Opinions(self.stack[towers], self.h_BSD, self.said[towers], scores_BSn, hidden, gates_n)

    def only(self, tower: int) -> "Opinions":
        """Return those of one tower, as they are, by views."""
        one = slice(tower, tower + 1)
        gates_n = None if self.gates_n is None else self.gates_n[one]
        said = Writes(self.said.values[:, one], self.said.write[one])
        hidden = [each[one] for each in self.hidden]
        return Opinions(self.stack.only(tower), self.h_BSD, said, self.scores_BSn[..., one], hidden, gates_n)

    def without(self, tower: int) -> "Opinions":
        """Return those of all towers but one, as they are when it is dead."""
        others = [n for n in range(len(self.stack.genes)) if n != tower]
        if self.stack.messages and others:
            return Opinions.of(self.stack[others], self.h_BSD)
        return self[others]

    @cached_property
    def heard(self) -> Writes:
        """What each adds to the stream among these towers."""
        return _weighted(self.said, weights(self.stack.fusion, self.scores_BSn, self.gates_n))

    @cached_property
    def total_BSD(self) -> Tensor:
        """What they add to the stream together."""
        return self.heard.total()

    def quiet(self, tower: int) -> float:
        """Return the share of quiet hidden units of a tower, over all its stages."""
        gene = self.stack.genes[tower]
        units, stages = int(gene["width"] * gene["expansion"]), int(gene["stages"])
        return float(quiet_share(torch.stack([each[tower, :, :units] for each in self.hidden[:stages]])))


@dataclass(frozen=True, eq=False, kw_only=True)
class Depending(Observed):
    """What towers add that share each token out among themselves, or hear of one another."""

    living: Sequence[int]
    opinions: Opinions  # of the living

    def without(self, slots: Sequence[int]) -> Iterator[Tensor]:
        """Return the change when each of n slots alone is gated off."""
        for slot in slots:
            others = self.opinions.without(self.living.index(slot))
            yield others.total_BSD - self.opinions.total_BSD


def grafted(residents: Opinions, guests: Opinions) -> Writes | Iterator[Tensor]:
    """Return the change of the stream when each of n guests alone joins the residents, n times [B, S, D].

    Where towers compete, a guest of weight w takes that share of what the residents say: ``w (opinion - total)``.

    Parameters
    ----------
    residents
        What the host's own towers say.
    guests
        What each guest says by itself.
    """
    if guests.stack.messages:
        return (after.total_BSD - residents.total_BSD for after in _together(residents, guests))
    own = written(residents, guests)
    if guests.stack.fusion != "adaptive":
        return own
    weights_BSn = joining(guests.stack.fusion, guests.scores_BSn, residents.scores_BSn)
    return (
        y_BSD - weight_BS.unsqueeze(-1) * residents.total_BSD
        for y_BSD, weight_BS in zip(own.dense(), weights_BSn.unbind(-1), strict=True)
    )


def written(residents: Opinions, guests: Opinions) -> Writes:
    """Return what each guest itself adds to the stream when it alone joins the residents."""
    if guests.stack.messages:
        own = [after.heard[[-1]] for after in _together(residents, guests)]
        values = [each.values for each in own] or [guests.said.values]
        return Writes(torch.cat(values, 1), guests.said.write)
    weights_BSn = joining(guests.stack.fusion, guests.scores_BSn, residents.scores_BSn)
    return _weighted(guests.said, weights_BSn)


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
        What each of the n towers says by itself.
    names
        The measures that are wanted.
    """
    rows = [
        [_Measured(task, dim, after).measure(name) for name in names]
        for after in _together(residents, guests)
    ]
    columns = torch.tensor(rows, dtype=torch.float64, device=guests.h_BSD.device).reshape(-1, len(names))
    return dict(zip(names, columns.unbind(1), strict=True))


def _weighted(said: Writes, weights_BSn: Tensor) -> Writes:
    return Writes(said.values * weights_BSn.transpose(1, 2).unsqueeze(-1), said.write)


def _together(residents: Opinions, guests: Opinions) -> Iterator[Opinions]:
    """Yield what all towers of a layer say when each guest alone has joined, which is the last of them."""
    for guest in range(len(guests.stack.genes)):
        one = guests.only(guest)
        stack = residents.stack.joined(one.stack)
        if stack.messages:
            yield Opinions.of(stack, guests.h_BSD)
            continue
        said = Writes(
            *(
                torch.cat([getattr(each.said, part) for each in (residents, one)], axis)
                for part, axis in (("values", 1), ("write", 0))
            )
        )
        scores_BSn = torch.cat([residents.scores_BSn, one.scores_BSn], -1)
        hidden = [torch.cat(pair) for pair in zip(residents.hidden, one.hidden, strict=True)]
        yield Opinions(stack, guests.h_BSD, said, scores_BSn, hidden)


@dataclass(frozen=True, eq=False)
class _Measured:
    """The measures of a single tower, the last of those of a layer, each a number."""

    task: Task
    dim: int
    opinions: Opinions

    def measure(self, name: str) -> float:
        own_BS = self._norms_BnS[:, -1]
        match name:
            case "attention_span":
                return mass.span(own_BS, self.task)
            case "access_locality":
                return mass.spread(own_BS, self.task)
            case "activation_sparsity":
                return self.opinions.quiet(-1)
            case "compute_intensity":
                flops, bytes_moved = cost(self.task, self.dim, self.opinions.stack.genes[-1], self._messages)
                return math.log2(flops / bytes_moved)
            case "attention_entropy":
                entropy_BS = -torch.xlogy(self._shares_BnS, self._shares_BnS).sum(1)
                return mass.mean(entropy_BS.flatten()) / max(math.log(self._shares_BnS.shape[1]), 1e-12)
            case "attention_sharpness":
                return mass.mean(self._shares_BnS[:, -1].flatten())
        others_mT = self._norms_BnS[:, :-1].transpose(0, 1).flatten(1)
        return mass.coherence(own_BS.flatten(), others_mT)

    @property
    def _messages(self) -> int:
        return self.opinions.stack.messages

    @cached_property
    def _norms_BnS(self) -> Tensor:
        """Norms of what each tower adds to every token."""
        return self.opinions.heard.norms().double()

    @cached_property
    def _shares_BnS(self) -> Tensor:
        """The share of each tower in these norms."""
        return self._norms_BnS / self._norms_BnS.sum(1, keepdim=True).clamp_min(1e-300)
