"""The whole page: its head, which forbids all but its own script and style, its body, and the data of its charts.

The charts are drawn by some hundred lines of script that lie in the package (`page/`). A library of charts would be
4 MB a page, and those that draw parallel coordinates compile code while they run, which a strict policy forbids.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from analysis.report.blocks import Section
from analysis.report.markup import LONGEST, charts, contents, sections
from analysis.report.palette import colours, palette
from archive_store.shown import shown

SCRIPTS = ("elements.js", "charts.js", "parallel.js", "elites.js", "descent.js", "page.js")
STYLE = "page.css"
MOST_BYTES = 5_000_000  # of a page
# Inputs that take HTML refuse texts: should the script ever pass one, the browser stops it.
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; {further}base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, slots=True)
class Addition:
    """What a page has that does not stay a file: a script that asks whoever serves the page what is new."""

    scripts: Sequence[str] = ()  # sources
    style: str = ""
    top: str = ""  # HTML below the title, in which no text of a run stands
    asks: bool = False  # whether the scripts may ask the page's own server


NOTHING = Addition()


def document(title: str, subtitle: str, parts: Sequence[Section], addition: Addition = NOTHING) -> bytes:
    """Return a page; equal arguments give equal bytes.

    Parameters
    ----------
    title, subtitle
        What it is of, and in a sentence what that is.
    parts
        Its sections.
    addition
        What it has beside that of a page that is a file.
    """
    script = "\n".join([*(_source(name) for name in SCRIPTS), *addition.scripts])
    look = "".join([palette(), _source(STYLE), addition.style])
    further = "connect-src 'self'; " if addition.asks else ""
    policy = _POLICY.format(script=_hash(script), style=_hash(look), further=further)
    name = escape(shown(title), quote=True)
    data = {
        "colours": colours(),
        "charts": [{"kind": each.kind, "title": each.title, **each.data} for each in charts(parts)],
    }
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{name} - Plasmodia</title>",
            f"<style>{look}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#main">To the content</a>',
            f"<header><h1>{name}</h1><p>{escape(shown(subtitle, 1000), quote=True)}</p>{addition.top}</header>",
            contents(parts),
            f'<main id="main">{sections(parts)}</main>',
            "<noscript><p>Charts need JavaScript, which this page has in itself.</p></noscript>",
            f'<script type="application/json" id="data">{as_json(plain_texts(data))}</script>',
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    ).encode("ascii", "xmlcharrefreplace")


def plain_texts(value: Any) -> Any:
    """Return lists and mappings whose texts are each in one line, without any character that cannot be seen."""
    if isinstance(value, str):
        return shown(value, LONGEST)
    if isinstance(value, Mapping):
        return {plain_texts(key): plain_texts(each) for key, each in value.items()}
    return [plain_texts(each) for each in value] if isinstance(value, (list, tuple)) else value


def as_json(value: Any) -> str:
    """Return JSON that can stand in a script element: it is ASCII and has no character that begins or ends a tag."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(name: str) -> str:
    return (files("analysis.report") / "page" / name).read_text(encoding="ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("ascii")).digest()).decode("ascii")
