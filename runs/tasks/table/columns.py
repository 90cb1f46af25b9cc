"""Columns of a table as numbers: standardised, or one feature for each text of a categorical one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from runs.errors import ConfigError

MOST_LEVELS = 64  # different texts of a categorical column
Missing = Literal["refuse", "fill"]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The features of one column."""

    block: np.ndarray  # float32 [N, width]

    @property
    def width(self) -> int:
        """How many features it has."""
        return int(self.block.shape[1])


def column_of(values: pd.Series, name: str, train: np.ndarray, missing: Missing) -> Column:
    """Return a column's features, fitted to the training rows.

    Parameters
    ----------
    values
        The column [N]: numbers, truth values or texts.
    name
        Of the column, for messages.
    train
        Numbers of the training rows.
    missing
        ``refuse``: a missing value is an error; ``fill``: it is 0 in all features and 1 in one of its own.

    Raises
    ------
    ConfigError
        If values are missing and refused, not finite, neither numbers nor texts, or too many different texts.
    """
    gaps = values.isna().to_numpy()
    if gaps.any() and missing == "refuse":
        raise ConfigError(
            f"the column {name!r} lacks {int(gaps.sum())} of {len(values)} values; fill them in the table, leave the "
            "column out (task.columns), or let them be a feature of their own (task.missing=fill)"
        )
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        block = _levels(values, name, train, gaps)
    else:
        block = _standardised(values.to_numpy(np.float64, na_value=np.nan), name, train, gaps)
    flags = [gaps[:, None]] if gaps.any() else []
    return Column(np.hstack([block, *flags]).astype(np.float32))


def classes_of(values: pd.Series, name: str, train: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class of each row, int64 [N], and the names of all; classes are numbered in sorted order.

    Parameters
    ----------
    values
        The column [N], complete.
    name
        Of the column, for messages.
    train
        Numbers of the training rows.

    Raises
    ------
    ConfigError
        If there is one class only, or one that no training row has.
    """
    levels = sorted(values.unique().tolist())
    if len(levels) < 2:
        raise ConfigError(f"the column {name!r} has the one value {levels[0]!r}; there is nothing to predict")
    unseen = sorted(set(levels) - set(values.iloc[train].unique().tolist()))
    if unseen:
        raise ConfigError(
            f"no training row has {unseen[0]!r} in {name!r}, one of its {len(levels)} classes; remove it, or predict a "
            "number instead (task.predict=value)"
        )
    numbers = {level: number for number, level in enumerate(levels)}
    return values.map(numbers).to_numpy(np.int64), tuple(map(str, levels))


def _standardised(numbers: np.ndarray, name: str, train: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    if not np.isfinite(numbers[~gaps]).all():
        raise ConfigError(f"the column {name!r} has infinite values; replace them")
    known = numbers[train][~gaps[train]]
    mean, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    return np.where(gaps, 0.0, (numbers - mean) / (spread or 1.0))[:, None]


def _levels(values: pd.Series, name: str, train: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    texts = values.astype(str).to_numpy()
    levels = sorted(set(texts[train][~gaps[train]]))
    if (different := len(set(texts[~gaps]))) > MOST_LEVELS:
        raise ConfigError(
            f"the column {name!r} has {different} different texts, over {MOST_LEVELS}; leave it out (task.columns) "
            "or group them"
        )
    return (texts[:, None] == np.array(levels, dtype=object)[None]) & ~gaps[:, None]
