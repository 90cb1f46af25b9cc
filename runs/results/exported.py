"""The frames of a run as files that other programs read: CSV or Parquet, one file a frame."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.errors import WriteError
from archive_store.reading import Run
from runs.config.problems import nearest
from runs.errors import ConfigError, RunError
from runs.machine.place import check_outside_runs

FRAMES = (
    "rounds",
    "census",
    "records",
    "decisions",
    "trials",
    "shadows",
    "outcomes",
    "emitters",
    "children",
    "held_out",
    "elites",
    "validity",
    "timings",
)


def export(run: Run, to: Path, format: str = "csv") -> list[Path]:
    """Write every frame of a run and return the paths of the files; those of these names are replaced.

    Parameters
    ----------
    run
        Finished or live.
    to
        Folder of the files, which is made where it is missing.
    format
        A key of `FORMATS`.

    Raises
    ------
    ConfigError
        If the format is unknown, the package for it is missing, or the path is no folder.
    RunError
        If the disk does not take a file.
    StoreError
        If the run is damaged.
    """
    if format not in FORMATS:
        raise ConfigError(f"--format is {format!r}; known are {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    if to.exists() and not to.is_dir():
        raise ConfigError(f"--frames is {to}, which is no folder; name another one")
    check_outside_runs(to, "folder for --frames")
    # All of them before the first is written: a damaged run leaves nothing behind.
    encoded = {name: FORMATS[format](run, name) for name in FRAMES}
    try:
        durable.make_directory(to)
        for name, data in encoded.items():
            durable.place(to / f"{name}.{format}", data)
        durable.sync_directory(to)
    except WriteError as error:
        raise RunError(f"{error.path} cannot be written: {error.reason}; choose another folder") from error
    return [to / f"{name}.{format}" for name in encoded]


def _csv(run: Run, name: str) -> bytes:
    data: str = getattr(run, name)().to_csv(index=False, lineterminator="\n")
    return data.encode("utf-8")


def _parquet(run: Run, name: str) -> bytes:
    frame = getattr(run, name)()
    if "test_metrics" in frame:  # a list of a file has values of one type, and a pair has two
        frame["test_metrics"] = frame["test_metrics"].map(_records)
    try:
        data: bytes = frame.to_parquet(index=False)
    except ImportError:
        raise ConfigError(
            "a Parquet file needs pyarrow (the extra 'parquet'); install it, or choose --format csv"
        ) from None
    return data


def _records(pairs: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
    return [{"name": name, "number": number} for name, number in pairs]


FORMATS: Mapping[str, Callable[[Run, str], bytes]] = {"csv": _csv, "parquet": _parquet}
