"""Pages of notebooks: their texts, their code, and what it had answered when they were saved."""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_FENCE = "````"  # longer than those that an output may hold


class Notebook(NamedTuple):
    """A page, its title, and its pictures by the name that the page has for them."""

    title: str
    text: str
    pictures: Mapping[str, bytes]


def read(path: Path) -> Notebook:
    """Return a notebook as a page.

    Of an output that comes in several forms the picture is shown, else the plain text; nothing runs in a browser.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for number, cell in enumerate(content["cells"], start=1):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(f"{_FENCE}python\n{source}\n{_FENCE}")
            parts += _outputs(cell, f"{path.stem}-{number}", pictures)
    text = "\n\n".join(parts)
    title = _TITLE.search(text)
    return Notebook(title[1] if title else path.stem, text + "\n", pictures)


def _outputs(cell: Mapping[str, Any], name: str, pictures: dict[str, bytes]) -> list[str]:
    parts = []
    for number, output in enumerate(cell.get("outputs", ()), start=1):
        data = output.get("data", {})
        if "image/png" in data:
            file = f"{name}-{number}.png"
            pictures[file] = base64.b64decode("".join(data["image/png"]))
            parts.append(f"![What the cell above drew]({file})")
        elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
            parts.append(f"{_FENCE}text\n{text}\n{_FENCE}")
    return parts
