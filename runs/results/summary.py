"""The result of a run in one table or one JSON object."""

import json
import math
import textwrap
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
from qd.validity.remedies import ways_out
from runs.errors import RunError, command
from runs.results.slo.remaining import budgets_of
from runs.results.slo.shown import line

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
    return shown(
        f"stopped early: by round {last['seen']}, {last['metric']} had not risen for {last['patience']} "
        f"round{'' if last['patience'] == 1 else 's'} above "
        f"{_written(_number(last['best']))}"
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


def table(summary: Summary) -> str:
    """Return the summary as two aligned columns."""
    lines = rows(summary)
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in lines)


def rows(summary: Summary) -> list[tuple[str, str]]:
    """Return the summary as lines, each a label and a text; one without a label goes on with the line before."""
    best = "-" if summary.best_organism is None else f"{summary.best_organism} (by validation)"
    return [
        ("run", summary.run),
        ("task and family", f"{_text(summary.task)}, {_text(summary.family)}"),
        ("seed and arm", f"{_text(summary.seed)}, births from {_text(summary.arm)}"),
        ("measures", ", ".join(summary.measures)),
        ("rounds", f"{summary.rounds}{'' if summary.early_stop is None else f' ({summary.early_stop})'}"),
        *((f"from round {at} on", "; ".join(texts) or "as before") for at, texts in summary.changes.items()),
        ("coverage", f"{summary.coverage:.1%} of the cells{_again(summary, 'coverage', '.1%')}"),
        ("competing", _competing(summary)),
        *(row for hint in summary.hints for row in _because(hint)),
        ("QD score", f"{summary.qd_score:.3f}{_again(summary, 'qd_score', '.3f')}"),
        ("best objective", f"{_written(summary.best_objective)}{_again(summary, 'best_objective')}"),
        ("mean objective", f"{_written(summary.mean_objective)}{_again(summary, 'mean_objective')}"),
        *_emitted(summary),
        ("best organism", best),
        (f"its test {summary.score_name}", _written(summary.best_accuracy)),
        *((f"its test {name}", _written(value, ".4g")) for name, value in summary.test_metrics.items()),
        ("useful at calibration", _useful(summary)),
        ("KMO and verdict", _verdict(summary.kmo, summary.kmo_verdict)),
        *(row for reason in summary.kmo_reasons for row in _because(reason)),
        *_ways_out(summary),
        ("at the last check", _verdict(summary.kmo_last, summary.kmo_last_verdict)),
        ("births", f"{summary.births}"),
        ("deaths", f"{summary.deaths}"),
        *([] if summary.memory is None else [("largest step", f"{summary.memory:,} bytes, counted")]),
        ("quarantines", f"{summary.quarantines}"),
        ("wall time", "-" if summary.wall_seconds is None else f"{summary.wall_seconds:.1f} s"),
        ("service levels", line(summary.budgets)),
        ("digest", f"{summary.digest}{_moved(summary.environments)}"),
    ]


def joined_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return the lines of a summary as rows of a page: one that goes on belongs to that before; a path is no result."""
    found: list[tuple[str, str]] = []
    for label, text in rows(summary):
        if label == "run":
            continue
        if label:
            found.append((label, text))
        else:
            before, above = found.pop()
            found.append((before, f"{above}\n{text}"))
    return found


def _again(summary: Summary, name: str, format: str = ".4f") -> str:
    """Return what a number of the archive is on held-out examples, in brackets."""
    value = summary.held_out.get(name)
    return "" if value is None else f" (on held-out examples {value:{format}})"


def _emitted(summary: Summary) -> list[tuple[str, str]]:
    """Return a line for each emitter: what it made, and what came of it."""
    lines = [
        f"{name}: {row['children']:,.0f} children, {row['won']:,.0f} cells won, QD score +{row['gain']:.2f}"
        for name, row in summary.emitters.items()
    ]
    return [("emitters" if place == 0 else "", line) for place, line in enumerate(lines)]


def _competing(summary: Summary) -> str:
    total = summary.competing + sum(summary.ineligible.values())
    others = ", ".join(f"{count} {reason}" for reason, count in summary.ineligible.items() if count)
    beyond = f"{summary.out_of_range} out of range" if summary.out_of_range else ""
    rest = "; ".join(text for text in (others, beyond) if text)
    return f"{summary.competing} of {total} components in the last round{f' ({rest})' if rest else ''}"


def _useful(summary: Summary) -> str:
    if summary.useful is None:
        return "-"
    fit = f"training loss {_written(summary.training_loss)}, a constant answer {_written(summary.constant_loss)}"
    return f"{summary.useful} of {summary.assayed} components; {fit}"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _because(reason: str) -> list[tuple[str, str]]:
    first, *further = textwrap.wrap(reason, 80) or ["-"]
    return [("because", first), *(("", line) for line in further)]


def _ways_out(summary: Summary) -> list[tuple[str, str]]:
    """Return lines that say what can be done about the verdict at calibration, if it is not ok."""
    if not summary.kmo_reasons or not summary.measures:
        return []
    reasons = " ".join(summary.kmo_reasons)
    blamed = [
        name for name in summary.measures if f"replace {name}" in reasons or f"replacing {name}" in reasons
    ]
    advice = [f"{name}: {'replace' if name in blamed else 'keep'}" for name in summary.measures]
    return [("", line) for line in textwrap.wrap(ways_out(summary.measures, advice), 80)]


def _moved(environments: int) -> str:
    return "" if environments == 1 else f" (made in {environments} environments)"


def _written(value: float | None, format: str = ".4f") -> str:
    return "-" if value is None else f"{value:{format}}"


def _verdict(kmo: float | None, verdict: str | None) -> str:
    return "not assessed" if verdict is None else f"{_written(kmo)} ({verdict})"
