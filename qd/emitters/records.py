"""The values of the search: what emitters are asked for, what came of it, and what elites are worth elsewhere."""

from dataclasses import dataclass, field

from qd.canonical import LATER
from qd.records import Child, ComponentId
from qd.typed import Finite, Share


@dataclass(frozen=True, slots=True)
class Parent:
    """An elite of the view that children are made of."""

    component: ComponentId
    lineage: ComponentId
    genome: str  # SHA-256 of the stored genome
    depth: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """An evolution strategy under way: it is told of each of its generations, in order, what came of them."""

    round: int  # of its first generation
    chunk: int  # and its number there: the two name the strategy's stream
    improvements: tuple[tuple[Finite | None, ...], ...] = ()  # of each child; None: it could not compete


@dataclass(frozen=True, slots=True)
class Emission:
    """An order: children that one emitter is to make of elites, a chunk that one worker scores."""

    round: int
    chunk: int  # number within the round, from 0
    emitter: str  # name of the table, or import path
    parents: tuple[Parent, ...]
    children: tuple[tuple[int, ...], ...]  # for each child, which of the parents it is made of
    campaign: Campaign | None = field(default=None, metadata={LATER: True})  # of an adaptive emitter


@dataclass(frozen=True, slots=True)
class Tried:
    """Where a child would compete."""

    cell: int
    objective: Finite


@dataclass(frozen=True, slots=True)
class Emitted:
    """What came of an emission: the children that may win a cell, and numbers of the others.

    A child may win if its assay's lower bound is above 0, its objective is over that of its cell's elite in the view,
    and no child of the chunk is better in that cell: whoever fails could not hold the cell at the end of the round.
    """

    round: int
    chunk: int
    scored: int  # children that were assayed on the whole probe split; a part of it had ruled out the others
    useful: int  # of these, with a lower bound of the assay above 0
    mean_assay: Finite | None  # of those scored, in nats; None where there are none
    flops: float  # counted, of assays and of training in the hosts
    contenders: tuple[Child, ...]  # by component id
    # Of an adaptive emitter, every child's; None: not useful, or not finite.
    tried: tuple[Tried | None, ...] = field(default=(), metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class HeldOutElite:
    """An elite on examples that the search has not seen."""

    cell: int  # that it holds in the archive
    objective: Finite
    assay: Finite
    assay_lower: Finite
    behaviour: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A second look at all elites, and the archive that they make where they are scored and placed anew."""

    round: int
    elites: tuple[HeldOutElite, ...]  # cells ascending
    useful: int  # of them, with a lower bound of the assay above 0; they make the archive
    coverage: Share
    qd_score: Finite
    best_objective: Finite | None
    mean_objective: Finite | None
