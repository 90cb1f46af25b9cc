"""Progress on stderr while a command works, and what an interrupt says."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

from runs.commands.options import INTERRUPTED, stop
from runs.commands.streams import messages_only

if TYPE_CHECKING:
    from runs.observability.progress import Writer

W = TypeVar("W")


@contextmanager
def watched(quiet: bool = False, hint: Callable[[], str] = str) -> Iterator["Writer"]:
    """Show a run's progress on stderr; after an interrupt, tell what the hint says: how to go on."""
    from runs.observability.progress import reporting

    with watched_by(reporting, quiet, hint) as report:
        yield report


@contextmanager
def watched_by(
    reporting: Callable[[TextIO, bool], AbstractContextManager[W]], quiet: bool, hint: Callable[[], str]
) -> Iterator[W]:
    """Show progress on stderr as `reporting` does; after an interrupt, tell what the hint says: how to go on.

    Parameters
    ----------
    reporting
        From a stream, and whether to be quiet, to what shows progress.
    quiet
        Whether messages alone are shown.
    hint
        What is told after an interrupt.
    """
    from runs.observability.display import Lasting

    try:
        # What a user's task or measure prints is a message. On a terminal it passes through the bar, which takes the
        # place of sys.stderr.
        with (
            redirect_stderr(cast(TextIO, Lasting(sys.stderr))),
            reporting(sys.stderr, quiet) as report,
            messages_only(),
        ):
            yield report
    except KeyboardInterrupt:
        stop(f"interrupted{hint()}", INTERRUPTED)
