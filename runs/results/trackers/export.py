"""Exports of a run to trackers, by their names."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from archive_store.reading import Run
from runs.config.problems import nearest
from runs.errors import ConfigError, RunError, told
from runs.machine.place import check_outside_runs
from runs.results.trackers.tracked import Tracked, tracked

# By name: the module that writes, and what has to be installed. It has a function `write(tracked, folder)`, which gives
# the path of what it made.
TRACKERS: Mapping[str, tuple[str, str]] = {
    "tensorboard": ("runs.results.trackers.tensorboard", "tensorboard"),
    "wandb": ("runs.results.trackers.wandb_offline", "wandb"),
    "mlflow": ("runs.results.trackers.mlflow_local", "mlflow"),
}
Write = Callable[[Tracked, Path], Path]


def export_to(run: Run, tracker: str, folder: Path) -> Path:
    """Write a run for a tracker, and return the path of what was made.

    Parameters
    ----------
    run
        Finished or live.
    tracker
        A key of `TRACKERS`.
    folder
        Where the tracker looks; it may hold other runs.

    Raises
    ------
    ConfigError
        If the tracker is unknown or not installed, or the folder is none or has this run already.
    RunError
        If no round is committed yet, or the files cannot be written.
    """
    if tracker not in TRACKERS:
        raise ConfigError(f"--to is {tracker!r}; known are {', '.join(TRACKERS)}{nearest(tracker, TRACKERS)}")
    check_outside_runs(folder, f"folder for --to {tracker}")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--to {tracker} is given {folder}, which is no folder; name another one")
    module, package = TRACKERS[tracker]
    try:
        import_module(package)
    except ImportError:
        raise ConfigError(
            f"--to {tracker} needs the package {package}; install it by pip install 'plasmodia[{tracker}]'"
        ) from None
    write: Write = import_module(module).write
    try:
        return write(tracked(run), folder)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {told(error)}; choose another one") from error


def refuse_second(path: Path, found: Path | None) -> None:
    """Refuse to write a run where it was written before: a tracker would show everything twice.

    Raises
    ------
    ConfigError
        Naming what is there.
    """
    if found is not None:
        raise ConfigError(f"the run was exported to {path} before: remove {found}, or name another folder")
