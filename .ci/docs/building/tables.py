"""Markdown of plain texts: what they hold is shown and not taken as markup."""

import re
from collections.abc import Callable, Iterable, Sequence

_SPAN = re.compile(r"(`[^`\n]+`)")
_MARKUP = re.compile(r"([\\*_\[\]])")


def plain(text: str) -> str:
    """Return Markdown that shows a text as it is, on one line; spans of code stay spans of code."""
    return _outside_code(" ".join(text.split()), lambda part: _MARKUP.sub(r"\\\1", part).replace("<", "&lt;"))


def code(text: str) -> str:
    """Return a span of code; an empty text has none."""
    return f"`{text}`" if text else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown cells, in which a bar is written as one."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([_outside_code(cell, lambda part: part.replace("|", "\\|")) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts = _SPAN.split(text)
    return "".join(part if at % 2 else change(part) for at, part in enumerate(parts))
