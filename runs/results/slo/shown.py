"""Budgets as a table, as one line, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.report.blocks import Table
from archive_store.reading import Run
from runs.results.columns import aligned
from runs.results.slo.budget import Budget
from runs.results.slo.remaining import budgets
from runs.results.slo.settings import SlosConfig

COLUMNS = ("objective", "good events", "window", "events", "bad", "measured", "burn", "recent", "budget left")


def rows(found: Sequence[Budget]) -> list[tuple[str, ...]]:
    """Return a row of texts for each objective, under `COLUMNS`."""
    return [
        (
            each.name,
            f"{100 * each.objective:g}% <= {each.threshold:g} {each.unit}",
            each.window,
            f"{each.events:,}",
            f"{each.bad:,}",
            _number(each.measured),
            _number(each.burn),
            _number(each.recent_burn),
            "not measured" if each.left is None else f"{each.left:.1%}",
        )
        for each in found
    ]


def table(found: Sequence[Budget]) -> str:
    """Return budgets in aligned columns."""
    return "\n".join(aligned([COLUMNS, *rows(found)]))


def block(run: Run) -> Table:
    """Return the budgets of a run by the built-in objectives, as a table of its page."""
    with run.directory.journal() as journal:
        found = budgets(journal, SlosConfig())
    return Table("Error budgets of the service-level objectives", COLUMNS, rows(found))


def line(left: Mapping[str, float]) -> str:
    """Return how objectives stand, in a line, from what is left of their budgets (`remaining.budgets_of`)."""
    if not left:
        return "not measured"
    spent = [name for name, share in left.items() if share <= 0]
    if spent:
        return f"{len(left) - len(spent)} of {len(left)} within their budgets; spent: {', '.join(spent)}"
    least = min(left, key=lambda name: left[name])
    rest = "" if left[least] == 1 else f"; least is left of {least}: {left[least]:.0%}"
    return f"all {len(left)} within their error budgets{rest}"


def sentence(found: Sequence[Budget]) -> str:
    """Return what is wrong with those whose budgets are spent."""
    told = [
        f"{each.name} ({each.bad:,} of {each.events:,} events over {each.threshold:g} {each.unit}, "
        f"{100 * each.objective:g}% were to be good)"
        for each in found
        if each.spent
    ]
    return f"the error budget is spent of {', '.join(told)}"


def plain(found: Sequence[Budget]) -> list[dict[str, Any]]:
    """Return budgets as JSON has them."""
    return [asdict(each) | {"spent": each.spent} for each in found]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
