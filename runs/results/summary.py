"""What a run has come to, read from its journal: values, or one JSON object."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive_store import frames
from archive_store.journal.journal import SCORE_NAME, WALL
from archive_store.journal.segments import SEGMENT
from archive_store.journal.values import Calibrated, checked, values
from archive_store.reading import entrants_of
from archive_store.shown import shown
from qd.fitness import COMPETES, REASONS
from qd.records import Outcome
from runs.errors import RunError, command
from runs.results.slo.remaining import budgets_of

if TYPE_CHECKING:
    from archive_store.journal.journal import Journal

NAME, REASON = 60, 1000  # characters of a name and of a reason that are shown


REMEDIES = {  # of each reason not to compete
    "immature": "lower it, or lifecycle.births_per_round",
    "useless": "give the task's probe split more examples, train for longer (training.steps_per_round, rounds), lower "
    "calibration.host_share or raise organism.dim",
    "non-finite": "lower training.learning_rate, or mend a measure of yours",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run, or of as much of it as is committed; None is "not known (yet)"."""

    run: str  # its directory
    name: str
    seed: int | None
    arm: str | None  # births: archive, random, genes, clone or none
    task: str | None
    family: str | None
    measures: tuple[str, ...]
    rounds: int  # committed
    coverage: float  # share of the cells that are filled
    qd_score: float
    best_objective: float | None
    mean_objective: float | None
    best_organism: int | None  # by its validation score in the last round; none that is in quarantine
    best_accuracy: float | None  # test score of that organism; score_name says of what kind
    score_name: str  # accuracy or R2
    test_metrics: dict[str, float | None]  # what the task itself reports of that organism, by name
    training_loss: float | None  # of calibration's first organism in the end
    constant_loss: float | None  # of the best constant answer to the same examples
    useful: int | None  # components of calibration that help the hosts for certain
    assayed: int | None  # of how many
    competing: int  # components of the last round that competed for a cell
    ineligible: dict[str, int]  # those that did not, by reason: immature, useless or non-finite
    out_of_range: int  # competing components with a measure beyond its range
    hints: tuple[str, ...]  # what keeps the archive empty, and what to change
    kmo: float | None  # at calibration, where it gates the run; two measures have none
    kmo_verdict: str | None  # ok, warn, stop or skipped
    kmo_reasons: tuple[str, ...]  # why it is not ok
    kmo_last: float | None  # at the last check
    kmo_last_verdict: str | None
    held_out: dict[
        str, float | None
    ]  # the last second look at the elites: best_objective, coverage and others
    emitters: dict[str, dict[str, float]]  # children, won cells and gain of the QD score of each
    flops: dict[str, float]  # counted: training, assays, emitters
    births: int
    deaths: int
    memory: int | None  # counted bytes of the last round's largest step, with lifecycle.memory_budget
    quarantines: int  # rounds of single organisms that were undone
    environments: int  # in which it was made: 1, and 1 more for each accepted move
    early_stop: str | None  # why it ended before the rounds that it was given
    changes: dict[
        int, list[str]
    ]  # what is different from a round on, where the run went on with other settings
    digest: str
    wall_seconds: float | None
    budgets: dict[str, float]  # share that is left of the error budget of each service-level objective


def summarise(path: Path) -> Summary:
    """Read the summary of a finished or live run.

    Raises
    ------
    StoreError
        If the path is no run or its journal is damaged.
    RunError
        If no round is committed yet.
    """
    from archive_store.run_directory import RunDirectory

    directory = RunDirectory.open(path)
    with directory.journal() as journal:
        last = journal.last_round()
        if not last:
            raise RunError(
                f"{path} has no finished round yet; look again later, or go on with: {command('resume', path)}"
            )
        summaries, config = _bodies(journal, "summary", last), directory.config()
        if len(summaries) != 1:
            raise RunError(f"{path} has not one summary of round {last}; its journal was altered")
        totals = summaries[0]
        return Summary(
            run=str(path),
            name=shown(config.get("name", path.name)),
            **identity(config),
            rounds=last,
            coverage=float(totals["coverage"]),
            qd_score=float(totals["qd_score"]),
            best_objective=_number(totals["best_objective"]),
            mean_objective=_number(totals["mean_objective"]),
            **_best(_bodies(journal, "census", last)),
            memory=_largest_step(_bodies(journal, "census", last)),
            score_name=shown(journal.meta(SCORE_NAME) or "score", NAME),
            **_entrants(journal, last, config),
            **_search(journal),
            **_validity(journal),
            **_lifecycle(_bodies(journal, "summary"), _bodies(journal, "quarantine")),
            environments=1 + len(journal.moves()),
            early_stop=_early_stop(_bodies(journal, "early_stop", last)),
            changes={
                event.round: list(checked(event)["differences"]) for event in journal.events(kind=SEGMENT)
            },
            digest=shown(journal.digest(last)),
            wall_seconds=_wall(journal),
            budgets=budgets_of(journal),
        )


def _bodies(journal: "Journal", kind: str, round: int | None = None) -> list[Mapping[str, Any]]:
    return [checked(event) for event in journal.events(round=round, kind=kind)]


def _early_stop(stops: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why a run has stopped early, if it has with the round of these events."""
    if not stops:
        return None
    last = stops[-1]
    best = _number(last["best"])
    return shown(
        f"stopped early: by round {last['seen']}, {last['metric']} had not risen for {last['patience']} "
        f"round{'' if last['patience'] == 1 else 's'} above {'-' if best is None else f'{best:.4f}'}"
    )


def _search(journal: "Journal") -> dict[str, Any]:
    """Return what emitters made, and what the elites are on held-out examples."""
    looks = _bodies(journal, "held_out")
    names = ("best_objective", "mean_objective", "coverage", "qd_score")
    kinds = ("emission", "emitted", "outcome")
    chunks = frames.emitters([event for kind in kinds for event in journal.events(kind=kind)])
    totals = chunks.groupby("emitter", sort=False)[["children", "won", "gain"]].sum()
    rounds = _bodies(journal, "summary")
    return {
        "held_out": {name: _number(looks[-1][name]) for name in names} if looks else {},
        "emitters": {shown(str(name), NAME): row.to_dict() for name, row in totals.iterrows()},
        "flops": {
            kind: math.fsum(_number(body.get(f"flops_{kind}")) or 0.0 for body in rounds)
            for kind in ("training", "assays", "emitters")
        },
    }


def hints(competing: int, ineligible: Mapping[str, int]) -> Iterator[str]:
    """Yield why components do not compete, where most do not, and what to change.

    Parameters
    ----------
    competing
        Components of a round that competed for a cell.
    ineligible
        Those that did not, by reason (`qd.fitness.ineligible`).
    """
    total = competing + sum(ineligible.values())
    for reason, count in ineligible.items():
        if count > total / 2:
            yield f"{count} of {total} components are {reason} ({REASONS[reason]}); {REMEDIES[reason]}"


def _best(censuses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = {census["organism"]: _number(census["validation_score"]) for census in censuses}
    known = {organism: score for organism, score in scores.items() if score is not None}
    if not known:
        return {"best_organism": None, "best_accuracy": None, "test_metrics": {}}
    best = min(known, key=lambda organism: (-known[organism], organism))
    its = next(census for census in censuses if census["organism"] == best)
    metrics = {shown(name, NAME): _number(value) for name, value in its.get("test_metrics", ())}
    return {"best_organism": best, "best_accuracy": _number(its["test_score"]), "test_metrics": metrics}


def _largest_step(censuses: Sequence[Mapping[str, Any]]) -> int | None:
    counted = [census["memory"] for census in censuses if census.get("memory") is not None]
    return max(counted, default=None)


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a run from others: seed, arm, task, family and measures."""

    def named(*keys: str) -> str | None:
        value: Any = config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return None if value is None else shown(value, NAME)

    seed, measures = config.get("seed"), config.get("measures")
    return {
        "seed": seed if isinstance(seed, int) else None,
        "arm": named("births"),
        "task": named("task", "name"),
        "family": named("organism", "kind"),
        "measures": tuple(shown(name, NAME) for name in measures) if isinstance(measures, list) else (),
    }


def _entrants(journal: "Journal", last: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return who competed in the last round and who did not, what calibration foresaw, and hints."""
    counts = entrants_of(journal, config, last)
    competing = counts.pop(COMPETES)
    outcomes = values(journal.events(round=last, kind="outcome"), Outcome)
    calibrations = list(values(journal.events(round=0, kind="calibration"), Calibrated))
    if len(calibrations) != 1:
        raise RunError("the run has not one calibration; its journal was altered, so restore it from a copy")
    seen = calibrations[0].outlook
    return {
        "training_loss": None if seen is None else _number(seen.loss),
        "constant_loss": None if seen is None else _number(seen.constant_loss),
        "useful": None if seen is None else seen.useful,
        "assayed": None if seen is None else seen.assayed,
        "competing": competing,
        "ineligible": counts,
        "out_of_range": sum(any(outcome.candidate.out_of_range) for outcome in outcomes),
        "hints": tuple(hints(competing, counts)),
    }


def _validity(journal: "Journal") -> dict[str, Any]:
    bodies = _bodies(journal, "calibration", 0) + _bodies(journal, "validity")
    verdicts = [body["verdict"] for body in bodies]
    kmos = [_number(verdict["kmo"]) for verdict in verdicts] or [None]
    statuses: list[str | None] = [str(verdict["status"]) for verdict in verdicts] or [None]
    return {
        "kmo": kmos[0],
        "kmo_verdict": statuses[0],
        "kmo_reasons": tuple(shown(reason, REASON) for reason in verdicts[0]["reasons"]) if verdicts else (),
        "kmo_last": kmos[-1],
        "kmo_last_verdict": statuses[-1],
    }


def _lifecycle(
    summaries: Sequence[Mapping[str, Any]], quarantines: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    counts = {kind: sum(one[kind] for one in summaries) for kind in ("births", "deaths")}
    return counts | {"quarantines": len({(event["round"], event["organism"]) for event in quarantines})}


def _wall(journal: "Journal") -> float | None:
    seconds = [
        timing.seconds for timing in journal.timings() if timing.organism is None and timing.name == WALL
    ]
    total = sum(seconds)
    return total if seconds and math.isfinite(total) else None


def _number(value: Any) -> float | None:
    """Return a finite float, or None for null, for what is not finite and for the strings that stand for it."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def as_json(summary: Summary, **further: Any) -> str:
    """Return the summary, and further entries after it, as one JSON object; what is not known is null."""
    return json.dumps(asdict(summary) | further, indent=2, allow_nan=False)
