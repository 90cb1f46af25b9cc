"""The result of a run in one table or one JSON object."""

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive_store.journal.journal import SCORE_NAME, WALL
from runs.errors import RunError, command

if TYPE_CHECKING:
    from archive_store.journal.journal import Journal


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run, or of as much of it as is committed; None is "not known (yet)"."""

    run: str  # its directory
    name: str
    rounds: int  # committed
    coverage: float  # share of the cells that are filled
    qd_score: float
    best_objective: float | None
    mean_objective: float | None
    best_organism: int | None  # by its validation score in the last round; none that is in quarantine
    best_accuracy: float | None  # test score of that organism; score_name says of what kind
    score_name: str  # accuracy or R2
    test_metrics: dict[str, float | None]  # what the task itself reports of that organism, by name
    kmo: float | None  # at calibration, where it gates the run; two measures have none
    kmo_verdict: str | None  # ok, warn, stop or skipped
    kmo_reasons: tuple[str, ...]  # why it is not ok
    kmo_last: float | None  # at the last check
    kmo_last_verdict: str | None
    births: int
    deaths: int
    quarantines: int  # rounds of single organisms that were undone
    environments: int  # in which it was made: 1, and 1 more for each accepted move
    digest: str
    wall_seconds: float | None


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
        (totals,) = _bodies(journal, "summary", last)
        return Summary(
            run=str(path),
            name=str(directory.config().get("name", path.name)),
            rounds=last,
            coverage=float(totals["coverage"]),
            qd_score=float(totals["qd_score"]),
            best_objective=_number(totals["best_objective"]),
            mean_objective=_number(totals["mean_objective"]),
            **_best(_bodies(journal, "census", last)),
            score_name=journal.meta(SCORE_NAME) or "score",
            **_validity(journal),
            **_lifecycle(_bodies(journal, "decision"), _bodies(journal, "quarantine")),
            environments=1 + len(journal.moves()),
            digest=journal.digest(last),
            wall_seconds=_wall(journal),
        )


def _bodies(journal: "Journal", kind: str, round: int | None = None) -> list[dict[str, Any]]:
    return [json.loads(event.body) for event in journal.events(round=round, kind=kind)]


def _best(censuses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scores = {census["organism"]: _number(census["validation_score"]) for census in censuses}
    known = {organism: score for organism, score in scores.items() if score is not None}
    if not known:
        return {"best_organism": None, "best_accuracy": None, "test_metrics": {}}
    best = min(known, key=lambda organism: (-known[organism], organism))
    (its,) = (census for census in censuses if census["organism"] == best)
    metrics = {name: _number(value) for name, value in its.get("test_metrics", ())}
    return {"best_organism": best, "best_accuracy": _number(its["test_score"]), "test_metrics": metrics}


def _validity(journal: "Journal") -> dict[str, Any]:
    bodies = _bodies(journal, "calibration", 0) + _bodies(journal, "validity")
    verdicts = [body["verdict"] for body in bodies]
    kmos = [_number(verdict["kmo"]) for verdict in verdicts] or [None]
    statuses: list[str | None] = [str(verdict["status"]) for verdict in verdicts] or [None]
    return {
        "kmo": kmos[0],
        "kmo_verdict": statuses[0],
        "kmo_reasons": tuple(verdicts[0]["reasons"]) if verdicts else (),
        "kmo_last": kmos[-1],
        "kmo_last_verdict": statuses[-1],
    }


def _lifecycle(decisions: Sequence[dict[str, Any]], quarantines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    undone = {(event["round"], event["organism"]) for event in quarantines}
    kept = [one for one in decisions if (one["round"], one["organism"]) not in undone]
    counts = {
        kind: sum(event["happens"] for one in kept for event in one[kind]) for kind in ("births", "deaths")
    }
    return counts | {"quarantines": len(undone)}


def _wall(journal: "Journal") -> float | None:
    seconds = [
        timing.seconds for timing in journal.timings() if timing.organism is None and timing.name == WALL
    ]
    return math.fsum(seconds) if seconds else None


def _number(value: Any) -> float | None:
    """Return a finite float, or None for null and for the strings that stand for non-finite ones."""
    if value is None or isinstance(value, str):
        return None
    return float(value)


def as_json(summary: Summary, **further: Any) -> str:
    """Return the summary, and further entries after it, as one JSON object; what is not known is null."""
    return json.dumps(asdict(summary) | further, indent=2, allow_nan=False)


def table(summary: Summary) -> str:
    """Return the summary as two aligned columns."""
    best = "-" if summary.best_organism is None else f"{summary.best_organism} (by validation)"
    rows = (
        ("run", summary.run),
        ("rounds", f"{summary.rounds}"),
        ("coverage", f"{summary.coverage:.1%} of the cells"),
        ("QD score", f"{summary.qd_score:.3f}"),
        ("best objective", _written(summary.best_objective)),
        ("mean objective", _written(summary.mean_objective)),
        ("best organism", best),
        (f"its test {summary.score_name}", _written(summary.best_accuracy)),
        *((f"its test {name}", _written(value, ".4g")) for name, value in summary.test_metrics.items()),
        ("KMO and verdict", _verdict(summary.kmo, summary.kmo_verdict)),
        *(row for reason in summary.kmo_reasons for row in _because(reason)),
        ("at the last check", _verdict(summary.kmo_last, summary.kmo_last_verdict)),
        ("births", f"{summary.births}"),
        ("deaths", f"{summary.deaths}"),
        ("quarantines", f"{summary.quarantines}"),
        ("wall time", "-" if summary.wall_seconds is None else f"{summary.wall_seconds:.1f} s"),
        ("digest", f"{summary.digest}{_moved(summary.environments)}"),
    )
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def _because(reason: str) -> list[tuple[str, str]]:
    first, *further = textwrap.wrap(reason, 80)
    return [("because", first), *(("", line) for line in further)]


def _moved(environments: int) -> str:
    return "" if environments == 1 else f" (made in {environments} environments)"


def _written(value: float | None, format: str = ".4f") -> str:
    return "-" if value is None else f"{value:{format}}"


def _verdict(kmo: float | None, verdict: str | None) -> str:
    return "not assessed" if verdict is None else f"{_written(kmo)} ({verdict})"
