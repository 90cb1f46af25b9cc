"""What a page is made of: sections of texts, tables and charts. Nothing here is HTML yet, so nothing is escaped yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines that are shown as they are, such as a configuration."""

    name: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Link:
    """A cell of a table that leads to another page."""

    text: str
    to: str  # a relative path, as a URL has it


Cell = str | Link


@dataclass(frozen=True, slots=True)
class Table:
    """Rows whose first cell is their heading; without columns they are pairs of a name and a value."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Chart:
    """What the page's script draws: its kind names the function, its data are what that function takes."""

    kind: str  # lines, elites or descent
    title: str
    description: str  # for those who do not see it
    data: Mapping[str, Any]


Block = Text | Code | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, with a heading and a line in its table of contents."""

    name: str  # in addresses: letters and hyphens
    title: str
    blocks: Sequence[Block]
