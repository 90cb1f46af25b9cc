"""Reading a table from the bytes of a file: CSV, JSON lines, NumPy's .npy and .npz, or Parquet."""

import io
from collections.abc import Callable, Mapping
from pathlib import PurePath

import numpy as np
import pandas as pd

from runs.errors import ConfigError


def read_table(path: str, data: bytes) -> pd.DataFrame:
    """Return the table in a file, its columns by name.

    Parameters
    ----------
    path
        Of the file; its suffix says the format.
    data
        Its bytes.

    Raises
    ------
    ConfigError
        If the suffix is none of `FORMATS`, or the bytes are no such table.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"task.path is {path!r}; a table is a file of {', '.join(FORMATS)}")
    try:
        table = FORMATS[suffix](data)
    except ImportError:
        raise ConfigError(
            "a Parquet file needs pyarrow (the extra 'parquet'); install it, or save the table as CSV"
        ) from None
    except Exception as error:  # of five parsers, for any bytes
        text = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as a table: {text or type(error).__name__}") from error
    table.columns = [str(name) for name in table.columns]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ConfigError(f"{path} has two columns {twice[0]!r}; give each a name of its own")
    if not len(table):
        raise ConfigError(f"{path} has no rows")
    return table.reset_index(drop=True)


def _csv(data: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(data), low_memory=False)  # types of columns are found in all rows at once


def _jsonl(data: bytes) -> pd.DataFrame:
    """Read objects, a line each, whose values are numbers, texts, truth values or null."""
    table = pd.read_json(io.BytesIO(data), lines=True, dtype=False)
    for name, column in table.items():
        if column.map(lambda value: isinstance(value, (dict, list))).any():
            raise ValueError(
                f"the column {str(name)!r} holds lists or objects; a table takes one value a cell"
            )
    return table


def _npy(data: bytes) -> pd.DataFrame:
    """Read the fields of a structured array as columns, or the columns of a matrix: ``x_0``, ``x_1`` and so on."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is not None and array.ndim == 1:
        return pd.DataFrame({name: pd.Series(array[name]) for name in array.dtype.names})
    if array.ndim != 2:
        raise ValueError(
            f"the array is {array.shape}; a table takes [rows, columns], or [rows] of named fields"
        )
    return pd.DataFrame({f"x_{i}": column for i, column in enumerate(array.T)})


def _npz(data: bytes) -> pd.DataFrame:
    """Read arrays as columns by name; the columns of a matrix ``x`` are ``x_0``, ``x_1`` and so on."""
    columns: dict[str, np.ndarray] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for name, array in arrays.items():
            if array.ndim not in (1, 2):
                raise ValueError(
                    f"the array {name!r} is {array.shape}; a table takes [rows] or [rows, columns]"
                )
            columns |= {name: array} if array.ndim == 1 else {f"{name}_{i}": c for i, c in enumerate(array.T)}
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"its arrays have different numbers of rows: {', '.join(columns)}")
    return pd.DataFrame({name: pd.Series(column) for name, column in columns.items()})


def _parquet(data: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(data))


FORMATS: Mapping[str, Callable[[bytes], pd.DataFrame]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
}
