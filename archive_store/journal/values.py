"""The one door through which events are read: each becomes the value of its kind, with every check on the way.

A journal whose digests are right can still hold what this version never wrote. Whoever reads events reads them here, so
that all say the same of them: which event of which round is not of this version, and what is wrong with it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from archive_store.errors import ChainError, JournalError
from archive_store.journal.chain import Event
from archive_store.shown import shown
from qd.canonical import LATER
from qd.emitters.records import Emission, Emitted, HeldOut
from qd.measures import FEWEST_MEASURES, MOST_MEASURES, Ranges
from qd.records import Census, Child, Decision, Outcome, Record, read
from qd.typed import Finite, Positive, Share, T, Within, reader

MOST_ROUNDS = 1_000_000
MOST_FURTHER = 100  # entries of a summary that this version does not know
LARGEST_TREE = 20  # collections within one another in a fingerprint or a configuration
_Correlation = Annotated[float, Within(-1.001, 1.001)]


@dataclass(frozen=True, slots=True)
class Check:
    """What readers want of a verdict on the behaviour space (`qd.validity.verdict.Verdict`)."""

    status: Literal["ok", "warn", "stop", "skipped"]
    reasons: tuple[str, ...]
    kmo: Finite | None
    kmo_interval: tuple[Finite | None, Finite | None] | None
    msa: tuple[Finite | None, ...] | None
    n: int | None = field(default=None, metadata={LATER: True})
    organisms: int | None = field(default=None, metadata={LATER: True})
    bartlett_chi2: float | None = field(default=None, metadata={LATER: True})
    bartlett_p: float | None = field(default=None, metadata={LATER: True})
    effective_dimension: Finite | None = field(default=None, metadata={LATER: True})
    largest_correlation: Finite | None = field(default=None, metadata={LATER: True})
    principal_components: int | None = field(default=None, metadata={LATER: True})
    kernel_components: int | None = field(default=None, metadata={LATER: True})
    correlations: tuple[tuple[_Correlation | None, ...], ...] | None = field(
        default=None, metadata={LATER: True}
    )


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What calibration let foresee (`runs.calibration.outlook.Outlook`)."""

    loss: float
    constant_loss: float
    useful: int
    assayed: int
    quantisation: tuple[tuple[str, float], ...] = field(default=(), metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibration found, without the numbers that its verdict goes by."""

    interface: str  # digests of blobs
    hosts: tuple[str, ...]
    centroids: str
    ranges: Ranges
    reference: Positive
    largest_flops: Positive
    verdict: Check
    outlook: Foreseen | None = field(default=None, metadata={LATER: True})
    gradients: tuple[Finite, ...] = field(default=(), metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class Moved:
    """The first round in another environment: what is different there."""

    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Continued:
    """The first round under other settings: what is different from those before."""

    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EarlyStopped:
    """The last round of a run that ends before the rounds that it was given."""

    round: int
    seen: int  # the round after which it was decided
    metric: str
    patience: int  # rounds for which it had not risen
    best: Finite | None  # its highest


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A round of an organism that was undone."""

    organism: int
    round: int
    reason: str
    in_a_row: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of the behaviour space."""

    round: int
    verdict: Check


@dataclass(frozen=True, slots=True)
class Summary:
    """A round in numbers; a journal may hold more of them than these."""

    round: int
    coverage: Share
    component_coverage: Share
    lineage_coverage: Share
    qd_score: Finite
    normalised_qd_score: Finite
    best_objective: Finite | None
    mean_objective: Finite | None
    births: int
    deaths: int
    alive: int
    quarantined: int
    phase: str
    temperature: Positive
    mean_loss: float | None
    best_validation_score: float | None
    mean_validation_score: float | None
    out_of_range: tuple[int, ...]


Value: TypeAlias = (
    Calibrated
    | Moved
    | Continued
    | EarlyStopped
    | Decision
    | Census
    | Quarantined
    | Emission
    | Emitted
    | Outcome
    | Checked
    | Summary
    | HeldOut
)

KINDS: Mapping[str, type[Any]] = {
    "calibration": Calibrated,
    "environment": Moved,
    "segment": Continued,
    "early_stop": EarlyStopped,
    "decision": Decision,
    "census": Census,
    "quarantine": Quarantined,
    "emission": Emission,
    "emitted": Emitted,
    "outcome": Outcome,
    "validity": Checked,
    "summary": Summary,
    "held_out": HeldOut,
}


def value_of(event: Event) -> Value:
    """Return the value of an event.

    Raises
    ------
    ChainError
        If it is of no kind that this version writes, or not what its kind says: names the event and its round.
    """
    try:
        if event.kind not in KINDS:
            raise ValueError(f" is of a kind that this version does not know; known are {', '.join(KINDS)}")
        body = event.value
        value: Value = read(KINDS[event.kind], body)
        _FURTHER.get(event.kind, _nothing)(body)
        _check_round(event.round, value)
    except ValueError as error:
        text, where = str(error), f"event {event.seq} of round {event.round}"
        what = text if text[:1] == " " else f" is no {event.kind} of this version: {text}"
        message = f"{where}{shown(what, 300)}; use the version that wrote the run, or restore it from a copy"
        raise ChainError(message, event.round, event.seq) from None
    return value


def checked(event: Event) -> Mapping[str, Any]:
    """Return an event's value as JSON has it, after `value_of` has found nothing wrong."""
    value_of(event)
    return event.value


def values(events: Iterable[Event], kind: type[T]) -> Iterator[T]:
    """Yield the values of events that are all of one type.

    Raises
    ------
    JournalError
        Names the first event that holds no such value.
    """
    for event in events:
        value = value_of(event)
        if not isinstance(value, kind):
            raise JournalError(f"event {event.seq} of round {event.round} is no {kind.__name__}")
        yield value


def measures_of(value: Value) -> set[int]:
    """Return the numbers of measures that a value speaks of: one number, if all is well."""
    match value:
        case Calibrated():
            return {len(value.ranges.low), *_measures_of_check(value.verdict)}
        case Checked():
            return _measures_of_check(value.verdict)
        case Census():
            return {len(record.measures) for record in value.records}
        case HeldOut():
            return {len(elite.behaviour) for elite in value.elites}
        case Emitted():
            return {len(child.measures) for child in value.contenders}
        case Outcome():
            return {len(value.candidate.behaviour), len(value.candidate.out_of_range)}
        case Summary():
            return {len(value.out_of_range)}
    return set()


def _measures_of_check(check: Check) -> set[int]:
    rows = check.correlations or ()
    return {len(of) for of in (check.msa, check.correlations, *rows) if of is not None}


def _check_round(round: int, value: Value) -> None:
    if round > MOST_ROUNDS:
        raise ValueError(f"a run has no {round:,} rounds")
    own = value.candidate.round if isinstance(value, Outcome) else getattr(value, "round", round)
    if own != round:
        raise ValueError(f"round is {own} and must be {round}")
    match value:
        case Census():
            _check_born(round, value.records)
        case Emission():
            _check_emission(round, value)
        case Emitted():
            _check_born(round, value.contenders)
        case Outcome():
            _check_since(round, born=value.candidate.component.born, line=value.candidate.lineage.born)
        case Calibrated():
            if not FEWEST_MEASURES <= len(value.ranges.low) <= MOST_MEASURES:
                raise ValueError(f"ranges are of {len(value.ranges.low)} measures")


def _check_born(round: int, components: Iterable[Record | Child]) -> None:
    for each in components:
        _check_since(round, born=each.component.born, line=each.lineage.born)
        if any(parent.born >= each.component.born for parent in each.parents):
            raise ValueError(f"component {each.component} has a parent that was not born before it")


def _check_emission(round: int, value: Emission) -> None:
    for parent in value.parents:
        _check_since(round, born=parent.component.born, line=parent.lineage.born)
    if any(place >= len(value.parents) for child in value.children for place in child):
        raise ValueError(f"a child has a parent that is none of the {len(value.parents)} there are")


def _check_since(round: int, **since: int) -> None:
    for what, when in since.items():
        if when > round:
            raise ValueError(f"{what} in round {when}, which was later")


def _check_summary(body: Mapping[str, Any]) -> None:
    """Check what a frame takes over as it stands."""
    further = body.keys() - Summary.__dataclass_fields__.keys()
    if len(further) > MOST_FURTHER:
        raise ValueError(f"it has {len(further)} entries that this version does not know")
    for name in sorted(further):
        reader(str)(name)
        if not name.isprintable():
            raise ValueError(f"{name[:40]!r} is no name")
        items = body[name] if isinstance(body[name], list) else [body[name]]
        for item in items[:MOST_MEASURES]:
            if not isinstance(item, (str, bool, type(None))):
                reader(Finite)(item)
        if len(items) > MOST_MEASURES:
            raise ValueError(f"{name[:40]!r} is a list of {len(items)}")


def _check_move(body: Mapping[str, Any]) -> None:
    _check_tree(body, "fingerprint")


def _check_segment(body: Mapping[str, Any]) -> None:
    _check_tree(body, "config")


def _check_tree(body: Mapping[str, Any], name: str) -> None:
    if not isinstance(body.get(name), dict):
        raise ValueError(f"{name} is missing")
    _check_depth(name, body[name], LARGEST_TREE)


def _check_depth(name: str, value: Any, left: int) -> None:
    if left == 0:
        raise ValueError(f"{name} is nested more than {LARGEST_TREE} deep")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(name, item, left - 1)


def _nothing(body: Mapping[str, Any]) -> None:
    """Other kinds are read whole."""


_FURTHER: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "summary": _check_summary,
    "environment": _check_move,
    "segment": _check_segment,
}
