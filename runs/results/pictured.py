"""What pictures that need trained networks find in a run, or the reason why there is nothing to draw."""

from analysis.rendering import NothingToDraw
from archive_store.journal.journal import State
from archive_store.reading import Run
from runs.config.schema import Config, own_options
from runs.errors import RunError
from runs.results.best import newest


def settings_of(run: Run) -> Config:
    """Return the configuration of a run.

    Raises
    ------
    NothingToDraw
        If it was made by another version.
    """
    from runs.calibration.stored import config_of

    try:
        return config_of(run.directory)
    except RunError as error:
        raise NothingToDraw(str(error)) from error


def own_code(config: Config) -> str:
    """Return the settings that name code of the run's own, separated by commas; empty where none does."""
    named = {"task.name": config.task.name, "organism.kind": config.organism.kind}
    named |= dict(own_options(config))
    return ", ".join(f"{setting}={path}" for setting, path in named.items() if ":" in path)


def newest_state(run: Run) -> State:
    """Return the state of the best organism at the newest checkpoint.

    Raises
    ------
    NothingToDraw
        If none is kept yet.
    """
    state = newest(run)
    if state is None:
        raise NothingToDraw(
            f"{run.directory.path} keeps no state of an organism with a score yet; look again after "
            "execution.checkpoint_every rounds"
        )
    return state
