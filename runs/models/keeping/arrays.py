"""Examples of a file, as an array."""

from pathlib import Path

import numpy as np

from runs.config.sections import TaskConfig
from runs.errors import ConfigError
from runs.models.signature import Signature

TABLES = (".csv", ".jsonl", ".npz", ".parquet")


def read(path: Path, signature: Signature, options: TaskConfig | None = None) -> np.ndarray:
    """Return the examples of a file, whose shape and values are still to be checked.

    Parameters
    ----------
    path
        ``.npy``: an array. For a model of a table: rows, in a file of the same columns (`TABLES`). Else ``.csv``:
        numbers, a row an example, token after token; a first row of names is left out. Any other: for a model of
        symbols its bytes, cut into examples of the task's length.
    signature
        What the model reads.
    options
        Of the task that it was trained on; None: they are not known.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is nothing of this.
    """
    if options is not None and options.name == "table" and path.suffix in TABLES:
        return _of_table(path, options)
    if path.suffix not in (".npy", ".csv") and signature.tokens != "discrete":
        raise ConfigError(f"{path} must be a .npy or a .csv file, as the model reads numbers")
    try:
        if path.suffix == ".npy":
            found: np.ndarray = np.load(path, allow_pickle=False)
            return found
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise ConfigError(f"{path} is no .npy file of numbers: {error}") from None
    return _rows(path, data, signature) if path.suffix == ".csv" else _bytes(path, data, signature)


def _of_table(path: Path, options: TaskConfig) -> np.ndarray:
    from runs import tasks
    from runs.tasks.table.build import encoded
    from runs.tasks.table.file import read_table

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    corpus = tasks.corpus(options)
    return encoded(options, corpus or b"", read_table(str(path), data))


def _rows(path: Path, data: bytes, signature: Signature) -> np.ndarray:
    lines = [line for line in data.decode("utf-8-sig", errors="replace").splitlines() if line.strip()]
    if lines and not _is_number(lines[0].split(",")[0]):
        lines = lines[1:]
    if not lines:
        raise ConfigError(f"{path} has no rows of numbers; give one a line, separated by commas")
    try:
        rows = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    except ValueError as error:
        raise ConfigError(
            f"{path} must hold numbers separated by commas, as many in each row: {error}"
        ) from None
    if signature.tokens == "discrete":
        return rows
    if rows.shape[1] % signature.features:
        raise ConfigError(
            f"{path} has {rows.shape[1]} numbers in a row, but a token has {signature.features}; an example of the "
            f"task {signature.name!r} has {signature.length} x {signature.features}"
        )
    return rows.reshape(len(rows), -1, signature.features)


def _bytes(path: Path, data: bytes, signature: Signature) -> np.ndarray:
    length = signature.length
    if not data:
        raise ConfigError(f"{path} is empty; give {length} bytes for an example")
    if len(data) % length:
        raise ConfigError(
            f"{path} has {len(data):,} bytes, which is no multiple of the {length} of an example; cut it, or fill it up"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, length).astype(np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
