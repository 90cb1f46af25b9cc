"""The table of measures, from the descriptions on the archive's axes and from the docstrings that define them."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from docs.building.tables import code, plain, table
from qd.measures import DESCRIPTIONS, MEASURES, QUANTILES, WIDENING

DEFINITIONS = ("organisms/residual/alike.py", "organisms/residual/effects.py")  # the last one counts
_ITEM = re.compile(r"^- (``\w+``(?: and ``\w+``)*): (.+?)(?=^- |^$)", re.MULTILINE | re.DOTALL)


def definitions(root: Path) -> dict[str, str]:
    """Return the equation of each measure that a docstring lists, by its name.

    Equations are in terms of what such a docstring begins with: what a guest writes, and the losses that it changes.
    """
    found: dict[str, str] = {}
    for file in DEFINITIONS:
        text = ast.get_docstring(ast.parse((root / file).read_text(encoding="utf-8"))) or ""
        for names, meaning in _ITEM.findall(text + "\n\n"):
            known = re.findall(r"\w+", names.replace(" and ", " "))
            if len(known) == 1 or known[0] not in found:
                found |= dict.fromkeys(known, " ".join(meaning.replace("``", "`").split()))
    return found


def markdown(root: Path) -> str:
    """Return the table of all built-in measures, and how raw values become places in the archive."""
    found = definitions(root)
    rows = [
        (code(name), _says(name, found), plain(each.unit), "yes" if name in MEASURES else "")
        for name, each in DESCRIPTIONS.items()
    ]
    low, high = QUANTILES
    ranges = (
        f"In the archive each runs from 0 to 1: calibration takes the quantiles {low:.0%} and {high:.0%} of what its "
        f"organisms' parts have, widens the range between them by {WIDENING:.0%}, and the run keeps it. What lies "
        "beyond is clipped, and counted as out of range."
    )
    return table(("measure", "what it is", "raw value", "by default"), rows) + f"\n\n{ranges}"


def _says(name: str, found: Mapping[str, str]) -> str:
    text = plain(DESCRIPTIONS[name].text)
    return f"{text}: {plain(found[name])}" if name in found else text
