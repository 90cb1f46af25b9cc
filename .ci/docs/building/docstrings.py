"""Docstrings as the site's reader of NumPy's form takes them.

Sentences that follow a section are no entries of it, and of several names in one entry each has its own annotation.
"""

import re
from typing import Any

from griffe import Extension

_NAMES = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)+)( : .*)?\n((?:[ ].*\n?|\n)*)", re.MULTILINE)
_SECTION = re.compile(r"^(\w+(?: \w+)?)\n-{3,}\n", re.MULTILINE)


class Entries(Extension):
    """Leaves in sections what are entries, one for each name; a source at their end is no entry, say."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Change what an object's docstring says before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = rearranged(obj.docstring.value)


def rearranged(docstring: str) -> str:
    """Return a docstring whose sections hold entries of one name; sentences among them come before the first section.

    A sentence is a paragraph without an indented line that ends with a full stop: an entry has its text below it.
    """
    head, *rest = _SECTION.split(docstring)
    paragraphs, sections = [head.strip()], []
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        entries = []
        for place, block in enumerate(re.split(r"\n\s*\n", body.strip("\n"))):
            if _is_sentence(block):
                paragraphs.append(f"**Returns:** {block}" if (title, place) == ("Returns", 0) else block)
            elif block.strip():
                entries.append(block)
        if entries:
            text = "\n\n".join(entries)
            text = _NAMES.sub(_one_each, f"{text}\n").rstrip() if title == "Parameters" else text
            sections.append(f"{title}\n{'-' * len(title)}\n{text}")
    return "\n\n".join([*paragraphs, *sections])


def _one_each(entry: re.Match[str]) -> str:
    names, kind, text = entry.groups()
    return "".join(f"{name}{kind or ''}\n{text.rstrip()}\n" for name in names.split(", "))


def _is_sentence(block: str) -> bool:
    return block.rstrip().endswith(".") and not re.search(r"^\s", block, re.MULTILINE)
