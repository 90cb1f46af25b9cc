"""Values out of frames as JSON and as texts: what is not a number is null, what a stranger wrote is one plain line."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from archive_store.shown import shown

DIGITS = 6  # of numbers in charts, more than a screen can show
LONGEST = 200  # characters of a text
MOST_POINTS = 600  # of a curve
UNKNOWN = "-"


def plain(value: Any) -> Any:
    """Return a value as JSON has it: a finite number of few digits, a bool, a text in one line, a list or None."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value) if abs(int(value)) < 2**53 else plain(float(value))
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, (tuple, list, np.ndarray, pd.Series)):
        return [plain(each) for each in value]
    return shown(value, LONGEST)


def written(value: Any, digits: str = ".4g") -> str:
    """Return a number, or what stands for one that is not known, as a table has it."""
    found = plain(value)
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, int):
        return f"{found:,}"
    if isinstance(found, float):
        return f"{value:,.0f}" if abs(found) >= 1e4 and abs(found) < 1e9 else f"{value:{digits}}"
    return UNKNOWN if found is None else str(found)


def numbers(column: Iterable[Any]) -> list[float | int | None]:
    """Return a column of numbers as JSON has it."""
    return [value if isinstance(value, (int, float)) else None for value in map(plain, column)]


def thinned(frame: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """Return at most so many rows at even distances, the first and the last among them."""
    if len(frame) <= most:
        return frame
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, most).round().astype(int))]


def listed(names: Sequence[Any]) -> str:
    """Return names in a row, or what stands for none."""
    return ", ".join(shown(name, LONGEST) for name in names) or UNKNOWN
