"""Docstrings as the site's reader of NumPy's form takes them: sentences that follow a section are no entries of it."""

import re
from typing import Any

from griffe import Extension

_SECTION = re.compile(r"^(\w+(?: \w+)?)\n-{3,}\n", re.MULTILINE)


class Sentences(Extension):
    """Moves sentences out of sections, such as a source at the end, or what is returned told as a sentence."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Change what an object's docstring says before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = rearranged(obj.docstring.value)


def rearranged(docstring: str) -> str:
    """Return a docstring whose sections hold entries alone; the sentences among them come before the first.

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
            sections.append(f"{title}\n{'-' * len(title)}\n" + "\n\n".join(entries))
    return "\n\n".join([*paragraphs, *sections])


def _is_sentence(block: str) -> bool:
    return block.rstrip().endswith(".") and not re.search(r"^\s", block, re.MULTILINE)
