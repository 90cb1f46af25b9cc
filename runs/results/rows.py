"""The summary of a run as people read it: rows of a label and a text, for a terminal and for pages."""

import textwrap
from typing import Any

from qd.validity.remedies import ways_out
from runs.results.slo.shown import line
from runs.results.summary import Summary


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
