"""Drawing at the end of a command: what cannot be drawn is a sentence, and costs nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archive_store.errors import StoreError
from runs.commands.streams import messages_only, warn
from runs.errors import PlasmodiaError, RunError, command, told

OUR_OWN = (PlasmodiaError, StoreError)


def reason(error: Exception) -> str:
    """Return what an error says: one of ours by itself, another with what and where it was."""
    return str(error) if isinstance(error, OUR_OWN) else f"it raised {told(error)}"


def more_pictures(own_code: bool) -> dict[str, Any]:
    """Return the pictures that need trained networks, by kind.

    Parameters
    ----------
    own_code
        Whether a task or family that is given by import path may be imported for them.
    """

    def predictions(run: Any, figure: Any) -> None:
        from runs.results.predictions import picture

        with messages_only():  # what the user's code prints
            picture(run, figure, own_code)

    def emergence(run: Any, figure: Any) -> None:
        from runs.results.emergence import picture

        with messages_only():
            picture(run, figure, own_code)

    return {"predictions": predictions, "emergence": emergence}


ON_DEMAND = ("emergence",)  # trains a network, and so is drawn where it is asked for by name alone


def drawn(
    run: Path,
    kinds: Sequence[str] | None = None,
    format: str = "png",
    folder: Path | None = None,
    at_the_end: bool = False,
) -> tuple[list[Path], int]:
    """Draw pictures of a run; each that fails is a sentence on stderr and keeps no other from being drawn.

    Parameters
    ----------
    run
        Its folder.
    kinds
        Which pictures; None: all for which the run has something, but those on demand.
    format
        ``png`` or ``svg``.
    folder
        Where they go; None: into ``plots`` in the run.
    at_the_end
        Whether this process has made the run: then code of the user's own may be imported for them, and a run that
        is damaged is a failure like others.

    Returns
    -------
    paths, failures
        The files, and how many pictures could not be drawn.

    Raises
    ------
    RunError
        If they cannot be written there.
    PlasmodiaError, StoreError
        If the run is damaged, or has nothing for one of the kinds.
    """
    from analysis import pictures

    failures = []

    def failed(kind: str, error: Exception) -> None:
        if isinstance(error, OUR_OWN) and not at_the_end:
            raise error
        warn(f"{kind} is not drawn: {reason(error)}")
        failures.append(kind)

    more = more_pictures(own_code=at_the_end)
    if kinds is None:
        more = {kind: more[kind] for kind in more if kind not in ON_DEMAND}
    try:
        return pictures.draw(run, kinds, format, more, folder=folder, failed=failed), len(failures)
    except OSError as error:
        raise RunError(
            f"pictures cannot be written: {error}; draw them elsewhere: {command('plot', run)} --to DIR"
        ) from error
