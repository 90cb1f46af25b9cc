"""Reading a table from the bytes of a file: CSV, NumPy's .npz or Parquet."""

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
        If the suffix is none of ``.csv``, ``.npz`` and ``.parquet``, or the bytes are no such table.
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
    except Exception as error:  # of three parsers, for any bytes
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


FORMATS: Mapping[str, Callable[[bytes], pd.DataFrame]] = {".csv": _csv, ".npz": _npz, ".parquet": _parquet}
