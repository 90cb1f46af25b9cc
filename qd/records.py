"""The values that the parts of the harness exchange: ids, genomes, records, decisions, outcomes.

All are frozen. Everything but `Genome` (it holds arrays) has a canonical JSON form (`qd.canonical`), and `read` gives
the value back, where each field is of its type and range.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from qd.canonical import LATER
from qd.typed import Finite, Positive, Share, T, reader

Genes = tuple[tuple[str, float], ...]  # structural genes, sorted by name
Status = Literal["insert", "replace", "reject"]


class ComponentId(NamedTuple):
    """Unique name of a component within a run: its organism, the round of its birth and its slot."""

    organism: int
    born: int
    slot: int

    def __str__(self) -> str:
        return f"{self.organism}.{self.born}.{self.slot}"


@dataclass(frozen=True, slots=True, eq=False)
class Genome:
    """A component as a value that can be stored, varied and grafted.

    A matrix trained as factors is stored as two arrays ``<name>.U`` [rows, rank] and ``<name>.V``
    [rank, columns] with ``W = U @ V``; any other array stands under its own name.
    """

    family: str
    depth: int  # the layer that it fits
    genes: Genes
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Record:
    """What a census says about one living component. All losses are in nats per example."""

    component: ComponentId
    parents: tuple[ComponentId, ...]  # empty for founders
    lineage: ComponentId  # the founder at the root of the first-parent line
    depth: int
    genes: Genes
    genome: str  # SHA-256 of the stored genome
    age: int  # rounds lived, this one included
    measures: tuple[float, ...]  # raw, in the reference hosts, in the order of the configuration
    assay: float  # mean drop of the reference hosts' probe loss
    assay_lower: float  # lower 95 % bound of that mean over probe examples
    ablation: float  # rise of the own organism's probe loss when the slot is gated off
    gradient: (
        float  # size of the gate gradient in the hosts, over the probe examples (`organisms.residual.assay`)
    )
    flops: float  # counted, per example, forward
    bytes: float  # counted, per example, forward
    # Share of the probe tokens that it answers, and by kind of example where the task has kinds; None and nothing
    # in families whose components answer every token.
    load: Share | None = field(default=None, metadata={LATER: True})
    usage: tuple[tuple[str, Share], ...] = field(default=(), metadata={LATER: True})
    # What it is among the parts of its own layer (`organisms.residual.alike`); None where its family does not say.
    home_effective_rank: float | None = field(default=None, metadata={LATER: True})
    home_coherence: float | None = field(default=None, metadata={LATER: True})
    home_correlation: float | None = field(default=None, metadata={LATER: True})
    # In the hosts, by `organisms.residual.worths`, where the objective goes by that and not by the assay; else None.
    worth: float | None = field(default=None, metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a birth: its candidates, each grafted alone into the organism before the round is trained."""

    slot: int
    loss: float  # of the organism on the examples of the trial, before the birth and the death that makes room for it
    gains: tuple[float, ...]  # by how much each candidate lowers that loss, in nats
    chosen: int | None  # which one was born; None: none was, and nothing died for it
    # By what factor the writes of each are multiplied for that gain, and of the one that is born for good.
    strengths: tuple[float, ...] = field(default=(), metadata={LATER: True})
    flops: float = field(default=0.0, metadata={LATER: True})  # counted, of the candidates on these examples


@dataclass(frozen=True, slots=True)
class Scored:
    """Measurements of one genome in the reference hosts, as those of a `Record`."""

    measures: tuple[float, ...]
    assay: float
    assay_lower: float
    assay_upper: float
    gradient: float
    flops: float  # counted, per example, forward
    worth: float | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A child that an emitter made of elites, and what it is in the reference hosts; it never lived in an organism."""

    component: ComponentId  # (number of organisms + chunk, round, place in the chunk)
    parents: tuple[ComponentId, ...]
    lineage: ComponentId
    depth: int
    genes: Genes
    genome: str
    measures: tuple[float, ...]  # these as in a `Record`
    assay: float
    assay_lower: float
    gradient: float
    flops: float
    worth: float | None = field(default=None, metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class Census:
    """What a trainer returns for one organism and round, apart from the state and the genomes."""

    organism: int
    round: int
    step: int  # optimizer steps so far
    loss: float  # mean training loss over the round
    loss_ema: float  # moving average over the steps before this round
    first_loss: float  # training loss of the very first step
    probe_loss: float
    validation_loss: float
    validation_score: float  # accuracy, or R2 for regression
    test_loss: float | None  # only in the last round
    test_score: float | None
    state: str  # SHA-256 of the encoded state
    records: tuple[Record, ...]  # by component id
    # What was not finite, or None. In quarantine the organism went back to the state that it had before the
    # round: `step`, `first_loss` and `loss_ema` are of that one (NaN where it has none yet), the other losses
    # and the score NaN, and there are no records.
    quarantine: str | None
    # What the task itself reports of the test split, by name; only in the last round and where it has such.
    test_metrics: tuple[tuple[str, float], ...] = field(default=(), metadata={LATER: True})
    # Of the order's births, in their order.
    trials: tuple[Trial, ...] = field(default=(), metadata={LATER: True})
    # Counted FLOPs of the components in the round: of its training (an optimizer step is three forward passes), and of
    # measuring them (at home, in the hosts, and the trials of births).
    flops_training: float = field(default=0.0, metadata={LATER: True})
    flops_assays: float = field(default=0.0, metadata={LATER: True})
    # Bytes that the round's largest step takes, counted (`runs.training.memory`); None where there is no budget for it.
    memory: int | None = field(default=None, metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A component that competes for a cell of the archive."""

    component: ComponentId
    parents: tuple[ComponentId, ...]
    lineage: ComponentId
    depth: int
    genes: Genes
    genome: str
    round: int  # in which it was measured
    behaviour: tuple[Share, ...]  # in the unit cube, clipped
    out_of_range: tuple[bool, ...]  # which measures had to be clipped
    objective: Finite


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a candidate's competition for a cell."""

    candidate: Candidate
    status: Status
    cell: int
    incumbent: ComponentId | None  # who held the cell before, or None
    incumbent_objective: Finite | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a newborn may be made of: one of the candidates of a birth."""

    operator: str  # what makes the newborn: gaussian (once called bootstrap), line, random, genes or clone
    parents: tuple[ComponentId, ...]
    genomes: tuple[str, ...]  # the parents' stored genomes
    lineage: ComponentId | None  # of the first parent; None starts a new line


@dataclass(frozen=True, slots=True)
class Birth:
    """A birth that was considered: it may happen iff the draw says so, and where it is tried the trial says the rest.

    Operator, parents, genomes and lineage are those of the first candidate.
    """

    slot: int
    arm: str  # archive, random, genes, clone, or none (in a re-seed)
    operator: str
    parents: tuple[ComponentId, ...]
    genomes: tuple[str, ...]
    lineage: ComponentId | None
    objective: Finite | None  # mean of the elites that were drawn; None in a re-seed without one
    threshold: Finite | None  # the view's median objective; None in a re-seed from an empty view
    sigma: Positive  # relative mutation noise
    probability: Share
    draw: Share  # uniform(seed, round, context)
    context: str  # birth:<organism>:<slot>:<hash of the elites' behaviours>, or reseed:<organism>:<slot>
    happens: bool
    others: tuple[Proposal, ...] = field(default=(), metadata={LATER: True})  # the further candidates
    tried: bool = field(default=False, metadata={LATER: True})  # whether a trial chooses among the candidates
    exploration: Share = field(
        default=0.0, metadata={LATER: True}
    )  # chance that not the best of them is taken
    exploration_draw: Share = field(
        default=0.0, metadata={LATER: True}
    )  # uniform(seed, round, f"other:{context}")

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """All candidates, in the order in which they were drawn."""
        return (Proposal(self.operator, self.parents, self.genomes, self.lineage), *self.others)


@dataclass(frozen=True, slots=True)
class Death:
    """A death that was considered: it happens iff the draw says so, within the cull's limits.

    One for room happens only if the trial of the birth in its slot chooses a candidate.
    """

    component: ComponentId
    z: float  # living fitness against the k nearest in behaviour space
    floor: float
    probability: Share
    draw: Share  # uniform(seed, round, f"cull:{component}")
    reason: str  # fitness, budget, memory, room or yoked
    happens: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """All that is decided for one organism before one round; a trainer is sent it as its order."""

    organism: int
    round: int
    step: int  # optimizer steps before the round
    phase: str  # warm-up, gentle or full; static where the lifecycle is off
    temperature: Positive
    hunger: Share
    frozen: str | None  # why the lifecycle stands still, or None
    births: tuple[Birth, ...]
    deaths: tuple[Death, ...]
    reseed: bool  # whether the births make up a new organism in place of the old one
    # Whether its workers had too little memory for what was decided first: this is the second try.
    starved: bool = field(default=False, metadata={LATER: True})
    last: bool = field(default=False, metadata={LATER: True})  # whether the run stops early, after this round


@dataclass(frozen=True, slots=True)
class Shadow:
    """What an organism became with one material in the place of a newborn: validation losses, in nats per example."""

    organism: int
    round: int  # of the birth
    slot: int
    material: str  # one of `qd.lifecycle.trial.MATERIALS`
    at_birth: float
    after_1: float | None  # round of training; None: the run ends before
    after_5: float | None


def component_id(value: Any) -> ComponentId:
    """Return the component id that ``[organism, born, slot]`` stands for."""
    organism, born, slot = value
    return ComponentId(int(organism), int(born), int(slot))


def read(kind: type[T], value: Any) -> T:
    """Rebuild a record of this kind from its canonical JSON; keys of no field are ignored.

    Raises
    ------
    ValueError
        If it is none: says what is missing, or of another type or range (`qd.typed`).
    """
    return reader(kind)(value)  # type: ignore[arg-type]  # mypy does not know that types are hashable
