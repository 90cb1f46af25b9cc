"""Requests to stop: after the first signal to end the work under way is finished, the second interrupts it."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# Of Ctrl-C and Ctrl-\\, of batch systems, and of a terminal that is closed.
SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_NOHUP = (signal.SIGHUP, signal.SIG_IGN)
STOPPING = "stopping when the orders under way are done; once more to stop now"


def to_stderr(text: str) -> None:
    """Write a line to descriptor 2 at once, if anybody is left to read it.

    Not through ``sys.stderr``: a signal may have come while that was being written to.
    """
    with suppress(OSError):
        os.write(2, f"plasmodia: {text}\n".encode())


class Interruption:
    """Whether the process was asked to stop.

    Until `patiently` is called for the first time, nobody would bring the work to an end, and the first request
    interrupts at once.

    Parameters
    ----------
    tell
        Called with a sentence for whoever asked, within the signal's handler.
    sentence
        That one.
    """

    def __init__(self, tell: Callable[[str], None] = to_stderr, sentence: str = STOPPING) -> None:
        self._tell, self._sentence = tell, sentence
        self._requested = False
        self._is_patient = False

    def patiently(self) -> bool:
        """Return whether to stop; from the first call on, the caller is relied on to stop after a first request."""
        self._is_patient = True
        return self._requested

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; the second one, and any before the first call of `patiently`, interrupts.

        Raises
        ------
        KeyboardInterrupt
            So that pools, locks and files are closed on the way out.
        """
        if self._requested or not self._is_patient:
            raise KeyboardInterrupt
        self._requested = True
        self._tell(self._sentence)


@contextmanager
def listening(tell: Callable[[str], None] = to_stderr, sentence: str = STOPPING) -> Iterator[Interruption]:
    """Handle `SIGNALS` for a while; where signals cannot be handled (in a thread), nothing changes.

    A SIGHUP that is ignored stays so: under ``nohup`` a run outlives its terminal.
    """
    interruption = Interruption(tell, sentence)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    handled = [number for number in SIGNALS if (number, signal.getsignal(number)) != _NOHUP]
    before = {number: signal.signal(number, interruption.handle) for number in handled}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
