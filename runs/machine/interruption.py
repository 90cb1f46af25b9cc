"""Being asked to stop: the first SIGINT or SIGTERM waits for what is under way, the second does not."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether somebody asked to stop.

    Until somebody begins to listen patiently, there is nothing that could be brought to an end, and the first
    request interrupts at once.
    """

    def __init__(self) -> None:
        self._requested = False
        self._is_patient = False

    def patiently(self) -> bool:
        """Say whether to stop; from the first call on, a first request is left to whoever asks here."""
        self._is_patient = True
        return self._requested

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; the second one, and any before somebody listens, interrupts.

        Raises
        ------
        KeyboardInterrupt
            So that everything is let go on the way out.
        """
        if self._requested or not self._is_patient:
            raise KeyboardInterrupt
        self._requested = True
        # Not by way of sys.stderr, in whose middle the signal may have come.
        os.write(2, b"plasmodia: stopping when the orders under way are done; once more to stop now\n")


@contextmanager
def listening() -> Iterator[Interruption]:
    """Handle both signals for a while; where signals cannot be handled (in a thread), nothing changes."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.handle) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
