"""A run as a notebook shows it: how far it is, what it came to and its best elites, in a few lines of HTML.

Every text passes `_text`: who made a run can have written anything into it.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from archive_store.errors import StoreError
from archive_store.holder import is_driven, state
from archive_store.journal.journal import SCORE_NAME
from archive_store.journal.values import checked
from archive_store.shown import shown

if TYPE_CHECKING:
    from archive_store.reading import Run

MOST = 10  # elites that are listed
_LEFT = ' style="text-align: left"'
_NUMBERS = (("best_validation_score", "validation {score} of the best organism", ".4f"),
            ("coverage", "coverage", ".1%"), ("qd_score", "QD score", ".3f"),
            ("best_objective", "best objective", ".4f"))  # fmt: skip


def as_html(run: "Run") -> str:
    """Return a run as HTML; of one that is damaged, the sentence that says so."""
    try:
        return "\n".join([_heading(run), table((), _facts(run)), *_elites(run)])
    except StoreError as error:
        return f"<p>{_text(error, 1000)}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return rows as a table, escaped; the first cell of each is its heading.

    Parameters
    ----------
    columns
        Their names; none: no line with names.
    rows
        As many cells each.
    caption
        What they are.
    """
    head = "".join(f"<th{_LEFT}>{_text(name)}</th>" for name in columns)
    lines = [
        f"<tr><th{_LEFT}>{_text(first)}</th>{''.join(f'<td{_LEFT}>{_text(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    ]
    above = f"<caption{_LEFT}>{_text(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table>{above}{top}<tbody>{''.join(lines)}</tbody></table>"


def _heading(run: "Run") -> str:
    told = state(run.directory.finished(), is_driven(run.directory.path))
    return f"<p><strong>{_text(run.directory.path)}</strong>: a run, {told}</p>"


def _facts(run: "Run") -> list[tuple[str, str]]:
    with run.directory.journal() as journal:
        last = journal.last_round() or 0
        summaries = [checked(event) for event in journal.events(round=last, kind="summary")]
        score = journal.meta(SCORE_NAME) or "score"
        digest = journal.digest() if journal.last_round() is not None else ""
    names = {key: run.config.get(key) for key in ("task", "organism")}
    task, family = (
        value.get(key) if isinstance(value, Mapping) else None
        for value, key in zip(names.values(), ("name", "kind"), strict=True)
    )
    facts = [
        ("task and family", f"{task}, {family}"),
        ("seed", str(run.config.get("seed"))),
        ("rounds", f"{last} of {run.config.get('rounds')}"),
    ]
    for summary in summaries:
        known = ((name, text, digits) for name, text, digits in _NUMBERS if _is_number(summary.get(name)))
        facts += [(text.format(score=score), format(summary[name], digits)) for name, text, digits in known]
    return [*facts, ("digest", f"{digest[:16]}...")] if digest else facts


def _elites(run: "Run") -> list[str]:
    elites = run.elites()
    if elites.empty:
        return ["<p>The archive is empty.</p>"]
    best = elites.sort_values(["objective", "cell"], ascending=[False, True]).head(MOST)
    columns = ["component", "objective", "cell", "round", *run.measures]
    rows = [[_written(row[name]) for name in columns] for row in best[columns].to_dict("records")]
    caption = f"The best {len(best)} of {len(elites):,} elites; measures from 0 to 1 within their ranges"
    return [table(columns, rows, caption)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _written(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _text(value: object, most: int = 200) -> str:
    return escape(shown(value, most), quote=True)
