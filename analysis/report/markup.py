"""Blocks as HTML. Every text passes `_text`, which is the only place where a page gets a character from a run."""

from collections.abc import Iterator, Sequence
from html import escape

from analysis.report.blocks import Block, Cell, Chart, Code, Link, Section, Table, Text
from archive_store.shown import shown

LONGEST = 4000  # characters of a line
_LINE = "\n"
_ROWS = 30  # of a table that is shown whole
MOST_ROWS = 500  # of a table, and
MOST_LINES = 20  # of a cell
LONGEST_CELL = 1000  # characters of a line of a cell


def sections(parts: Sequence[Section]) -> str:
    """Return sections as HTML; the n-th chart of all is to be drawn into the element ``chart-n``."""
    charts = iter(range(sum(isinstance(block, Chart) for part in parts for block in part.blocks)))
    return _LINE.join(_section(part, charts) for part in parts)


def contents(parts: Sequence[Section]) -> str:
    """Return the table of contents."""
    lines = (f'<li><a href="#{_text(part.name)}">{_text(part.title)}</a></li>' for part in parts)
    return f'<nav aria-label="Contents"><ol>{"".join(lines)}</ol></nav>'


def charts(parts: Sequence[Section]) -> list[Chart]:
    """Return the charts of all sections, in the order of their elements."""
    return [block for part in parts for block in part.blocks if isinstance(block, Chart)]


def _section(part: Section, charts: Iterator[int]) -> str:
    name = _text(part.name)
    heading = f'<h2 id="{name}-title">{_text(part.title)}</h2>'
    blocks = _LINE.join(_block(block, charts) for block in part.blocks)
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{blocks}\n</section>'


def _block(block: Block, charts: Iterator[int]) -> str:
    match block:
        case Text(text):
            return f"<p>{_text(text)}</p>"
        case Code(name, lines):
            code = _LINE.join(_text(line) for line in lines)
            return f'<pre tabindex="0" role="region" aria-label="{_text(name)}"><code>{code}</code></pre>'
        case Table():
            return _table(block)
        case Chart(kind, title, description):
            place = next(charts)
            told = f'<p class="told" id="chart-{place}-told">{_text(description)}</p>'
            label = f'aria-labelledby="chart-{place}-title" aria-describedby="chart-{place}-told"'
            heading = f'<h3 id="chart-{place}-title">{_text(title)}</h3>'
            return f'<figure id="chart-{place}" class="{_text(kind)}" {label}>\n{heading}\n{told}\n</figure>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)
    rows = _LINE.join(_row(row) for row in table.rows[:MOST_ROWS])
    left = f", the first {MOST_ROWS} of {len(table.rows):,}" if len(table.rows) > MOST_ROWS else ""
    caption = f"<caption>{_text(table.caption)}{left}</caption>"
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    long = " long" if len(table.rows) > _ROWS else ""  # it scrolls
    label = f'class="wide{long}" role="region" tabindex="0" aria-label="{_text(table.caption)}"'
    return f"<div {label}><table>{caption}{top}<tbody>\n{rows}\n</tbody></table></div>"


def _row(row: Sequence[Cell]) -> str:
    first, *rest = row
    cells = "".join(f"<td>{_cell(cell)}</td>" for cell in rest)
    return f'<tr><th scope="row">{_cell(first)}</th>{cells}</tr>'


def _cell(cell: Cell) -> str:
    if isinstance(cell, Link):
        return f'<a href="{_text(cell.to)}">{_text(cell.text)}</a>'
    return "<br>".join(_text(line, LONGEST_CELL) for line in cell.split(_LINE)[:MOST_LINES])


def _text(text: str, most: int = LONGEST) -> str:
    return escape(shown(text, most), quote=True)
