"""A table of the user's: one column is predicted from the others, which are the tokens of an example."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from organisms.task import Kind, Split, Task
from qd.seeding import generator
from runs.config.problems import nearest
from runs.errors import ConfigError
from runs.tasks.options import Options, refuse_kinds
from runs.tasks.splits import capped
from runs.tasks.table.columns import Column, classes_of, column_of
from runs.tasks.table.file import read_table

NAMES = ("train", "probe", "validation", "test")
SHARES = (0.1, 0.1, 0.2)  # of the rows: probe, validation, test
LEAST_ROWS = 8  # of each split
MOST_CLASSES = 20  # different whole numbers that are taken for classes unless task.predict says otherwise
MOST_BYTES = 2**30  # of the tokens of all rows


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of predicting one column of a table from the others.

    Every column that is read is one token, float32 [N, S, F] for S columns. A column has features of its own
    among the F, so that the stem embeds each differently: one for a number (less its mean, over its standard
    deviation), one for each text of a categorical column, and one for "missing" where values are filled. What is
    fitted, is fitted to the training rows. Positions are the places of the columns in the table: distances mean
    something where its order does. Texts, truth values and up to 20 different whole numbers are classes, other numbers
    a value (standardised, which R2 does not see), unless ``task.predict`` says which.

    Rows are split by a stream that knows nothing of the run's seed, but of ``task.split``; of each class the same
    share goes to each split.

    Raises
    ------
    ConfigError
        If the file is no table, a column is missing or cannot be used, values are missing and may not be filled, or
        there are too few rows.
    """
    refuse_kinds(options)
    if options.length is not None:
        raise ConfigError("task.length is that of a table's columns; choose them by task.columns")
    if corpus is None or options.path is None:
        raise ConfigError(
            "the task 'table' needs task.path, the table, and task.target, the column to predict"
        )
    table = read_table(options.path, corpus)
    target, read = _chosen(options, list(table.columns))
    rows = _rows(options, table, target)
    columns = [column_of(table[name], name, rows["train"], options.missing) for name in read]
    if len(table) * len(columns) * sum(column.width for column in columns) * 4 > MOST_BYTES:
        raise ConfigError(
            f"the {len(columns)} columns of {options.path} take {sum(column.width for column in columns)} features for "
            f"each of {len(table):,} rows, over 1 GiB in all; choose fewer by task.columns"
        )
    tokens = _tokens(columns)
    targets, kind, outputs, names = _targets(options, table[target], target, rows["train"])
    train, probe, validation, test = (Split(tokens[rows[name]], targets[rows[name]]) for name in NAMES)
    return Task(
        name="table",
        kind=kind,
        train=capped(train, options.examples),
        probe=probe,
        validation=validation,
        test=test,
        tokens="continuous",
        features=tokens.shape[-1],
        outputs=outputs,
        positions=np.arange(len(columns), dtype=np.float64)[:, None],
        classes=names,
    )


def encoded(options: Options, corpus: bytes, rows: pd.DataFrame) -> np.ndarray:
    """Return other rows as the tokens of a task of this table, float32 [N, S, F]: encoded as its own were.

    Parameters
    ----------
    options
        Of the task.
    corpus
        The bytes of its table, to whose training rows means, deviations and categories are fitted.
    rows
        With the columns that the task reads; others are not looked at.

    Raises
    ------
    ConfigError
        If a column is missing, holds something else than in the table, or lacks values where that never did.
    """
    if options.path is None:
        raise ConfigError("the table that the model was trained on is not known; give tokens as .npy")
    table = read_table(options.path, corpus)
    target, read = _chosen(options, list(table.columns))
    train = _rows(options, table, target)["train"]
    return _tokens([_column_of_rows(options, table, rows, name, train) for name in read])


def _column_of_rows(
    options: Options, table: pd.DataFrame, rows: pd.DataFrame, name: str, train: np.ndarray
) -> Column:
    if name not in rows:
        found = ", ".join(map(str, rows.columns[:20]))
        raise ConfigError(
            f"the rows have no column {name!r}, which the model reads; they have {found}{nearest(name, rows.columns)}"
        )
    own, others = table[name], rows[name]
    if pd.api.types.is_numeric_dtype(own) and not pd.api.types.is_numeric_dtype(others):
        raise ConfigError(f"the column {name!r} of the rows must hold numbers, as it does in {options.path}")
    both = column_of(pd.concat([own, others], ignore_index=True), name, train, options.missing)
    if both.width != column_of(own, name, train, options.missing).width:
        raise ConfigError(
            f"the column {name!r} of the rows lacks values, which it never does in {options.path}"
        )
    return Column(both.block[len(own) :])


def _chosen(options: Options, names: Sequence[str]) -> tuple[str, list[str]]:
    """Return the column that is predicted and those that are read."""
    target = _known("task.target", options.target, names)
    division = [options.split] if isinstance(options.split, str) else []
    for name in division:
        _known("task.split", name, names)
    if options.columns is None:
        read = [name for name in names if name not in (target, *division)]
    else:
        read = [_known("task.columns", name, names) for name in options.columns]
        if target in read:
            raise ConfigError(
                f"task.columns has {target!r}, which is task.target: it would be read and predicted"
            )
    if not read or len(set(read)) < len(read):
        raise ConfigError("task.columns must name one column or more, each once")
    return target, read


def _known(key: str, name: str | None, names: Sequence[str]) -> str:
    if name is None or name not in names:
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        near = "" if name is None else nearest(name, names)
        raise ConfigError(f"{key} is {name!r}; the columns of the table are {listed}{near}")
    return name


def _rows(options: Options, table: pd.DataFrame, target: str) -> dict[str, np.ndarray]:
    """Return the rows of each split, in the order of the table."""
    if table[target].isna().any():
        raise ConfigError(
            f"task.target: {int(table[target].isna().sum())} of {len(table)} rows have no {target!r}; remove them"
        )
    if isinstance(options.split, str):
        division = table[options.split].astype(str).to_numpy()
        unknown = sorted(set(division) - set(NAMES))
        if unknown:
            raise ConfigError(
                f"task.split: the column {options.split!r} must say {', '.join(NAMES)} of each row, not {unknown[0]!r}"
            )
    else:
        division = _drawn(table[target], options.split, _are_classes(options, table[target]))
    rows = {name: np.flatnonzero(division == name) for name in NAMES}
    for name, found in rows.items():
        if len(found) < LEAST_ROWS:
            raise ConfigError(
                f"the table has {len(found)} rows for {name}, and needs {LEAST_ROWS}: of its {len(table)} rows 60 % "
                "train, 10 % are the probe, 10 % validate and 20 % test, unless a column says otherwise (task.split)"
            )
    return rows


def _drawn(target: pd.Series, number: int, stratified: bool) -> np.ndarray:
    """Draw the split of each row, [N] names; each class, or everything, is divided in the same shares."""
    draws = generator(number, 0, "task:table:splits").random(len(target))
    groups = pd.factorize(target)[0] if stratified else np.zeros(len(target), dtype=np.int64)
    order = np.lexsort((draws, groups))
    first = np.searchsorted(groups[order], groups[order])  # of each row's group
    place = (np.arange(len(order)) - first + 0.5) / np.bincount(groups)[groups[order]]
    bounds = np.cumsum(SHARES)
    division = np.empty(len(target), dtype=object)
    division[order] = np.array([*NAMES[1:], NAMES[0]], dtype=object)[np.searchsorted(bounds, place, "right")]
    return division


def _are_classes(options: Options, target: pd.Series) -> bool:
    if options.predict is not None:
        return options.predict == "class"
    if pd.api.types.is_float_dtype(target):
        return False
    return not pd.api.types.is_numeric_dtype(target) or target.nunique() <= MOST_CLASSES


def _targets(
    options: Options, column: pd.Series, name: str, train: np.ndarray
) -> tuple[np.ndarray, Kind, int, tuple[str, ...]]:
    """Return the targets of all rows, the kind of the task, its number of outputs and the names of its classes."""
    if _are_classes(options, column):
        numbers, names = classes_of(column, name, train)
        return numbers, "class", len(names), names
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        raise ConfigError(
            f"task.predict is value, but the column {name!r} does not hold numbers; leave it out"
        )
    values = column_of(column, name, train, "refuse").block
    return values, "value", 1, ()


def _tokens(columns: Sequence[Column]) -> np.ndarray:
    """Put the features of every column into a token of its own, float32 [N, S, F], zero elsewhere."""
    rows, width = len(columns[0].block), sum(column.width for column in columns)
    tokens = np.zeros((rows, len(columns), width), dtype=np.float32)
    start = 0
    for place, column in enumerate(columns):
        tokens[:, place, start : start + column.width] = column.block
        start += column.width
    return tokens
