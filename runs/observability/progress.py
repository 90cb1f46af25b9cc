"""The progress that a run reports, and how it is shown: a live bar on a terminal, plain lines elsewhere.

Whoever shows it is the only one to write to the terminal meanwhile. What is told by a signal's handler, which may come
in the middle of a write, is a part of the bar and drawn with it; plain lines are whole, and another fits between them.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TextIO

from runs.machine.clock import Clock
from runs.machine.interruption import to_stderr

INTERVAL = 5.0  # seconds between two plain lines


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    stage: str  # calibration or rounds
    round: int  # the last one committed
    rounds: int
    coverage: float  # share of the cells that are filled
    qd_score: float
    temperature: float
    births: int  # so far
    deaths: int  # so far
    done: float  # share of the stage, in [0, 1]
    message: str = ""  # worth a line of its own, such as a worker that was lost


Reporter = Callable[[Progress], None]


class Writer(Protocol):
    """Shows progress when it is called with it."""

    def __call__(self, progress: Progress) -> None:
        """Show it."""

    def tell(self, text: str) -> None:
        """Show a sentence at once; a signal's handler may call this at any moment."""


def reporting(
    stream: TextIO, quiet: bool = False, clock: Clock = time.monotonic
) -> AbstractContextManager[Writer]:
    """Return a context whose value shows progress.

    Parameters
    ----------
    stream
        Where it is shown: by a live bar on a terminal, else by plain lines.
    quiet
        Whether only what is told is shown.
    clock
        Monotonic seconds.
    """
    if quiet:
        return Quiet()
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveBar(stream, clock)
    return PlainLines(stream, clock)


def remaining(elapsed: float, done: float) -> float | None:
    """Estimate the seconds that are left after `elapsed` seconds for the share `done`; None at the start."""
    return elapsed * (1.0 - done) / done if done > 0.0 else None


def duration(seconds: float | None) -> str:
    """Return seconds as ``h:mm:ss`` or ``m:ss``, and None as ``-:--``."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def place(progress: Progress) -> str:
    """Return how far the run is: ``calibration`` or ``round 3/40``."""
    return f"round {progress.round}/{progress.rounds}" if progress.stage == "rounds" else progress.stage


def numbers(progress: Progress) -> str:
    """Return the numbers of a report in one line; calibration has none yet."""
    if progress.stage != "rounds":
        return ""
    return (
        f"coverage {progress.coverage:.1%}  QD score {progress.qd_score:.2f}  "
        f"T {progress.temperature:.3f}  births {progress.births}  deaths {progress.deaths}"
    )


class _Stage:
    """Times a stage, for the estimate of what is left of it; calibration and rounds differ in pace."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._name = ""
        self._start = clock()
        self._first = 0.0

    def left(self, progress: Progress) -> str:
        if progress.stage != self._name:
            # A resumed run starts its stage in the middle: only what is done from here on counts.
            self._name, self._start, self._first = progress.stage, self._clock(), progress.done
        share = (progress.done - self._first) / (1.0 - self._first) if self._first < 1.0 else 1.0
        return duration(remaining(self._clock() - self._start, share))


class Lasting:
    """A stream that may end before the run: its terminal is closed, its reader has left, or its disk is full.

    A run is worth more than what is said about it, so that nothing of this is an error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if there is anybody left."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what was written, if there is anybody left."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Quiet:
    """Shows no progress."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        """Show nothing."""

    def tell(self, text: str) -> None:
        """Write a line."""
        to_stderr(text)


class PlainLines:
    """Writes a line every few seconds, at every change of stage, at the end and for each message."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic, interval: float = INTERVAL) -> None:
        self._stream, self._clock, self._interval = stream, clock, interval
        self._stage = _Stage(clock)
        self._written: float | None = None  # when the last line was
        self._shown = ""  # the stage that it was about

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.flush()

    def tell(self, text: str) -> None:
        """Write a line, beside the stream: it may be in the middle of another."""
        to_stderr(text)

    def __call__(self, progress: Progress) -> None:
        """Write what there is to say."""
        if progress.message:
            self._write(progress.message)
        now, left = self._clock(), self._stage.left(progress)
        is_new = progress.stage != self._shown or self._written is None
        if is_new or progress.done >= 1.0 or now - (self._written or 0.0) >= self._interval:
            parts = (place(progress), numbers(progress), f"{progress.done:.0%}, {left} left")
            self._write("  ".join(part for part in parts if part))
            self._written, self._shown = now, progress.stage

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveBar:
    """Keeps a bar, a line of numbers and what was told at the foot of a terminal; all else scrolls by above them."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        self._stage = _Stage(clock)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]} left", markup=False),
        )
        self._task = self._bar.add_task("starting", total=1.0, left=duration(None))
        self._numbers = Text()
        self._told = ""
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            get_renderable=lambda: Group(
                self._bar, self._numbers, *([Text(self._told)] if self._told else [])
            ),
            console=self._console,
            redirect_stdout=False,  # stdout is data and never passes through the bar
        )

    def __enter__(self) -> "LiveBar":
        self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def tell(self, text: str) -> None:
        """Keep a sentence, which the bar's own thread draws within a quarter of a second.

        Nothing is written here: a signal's handler interrupts the main thread also while that draws.
        """
        self._told = f"plasmodia: {text}"

    def __call__(self, progress: Progress) -> None:
        """Set bar and numbers; the bar's own thread draws them."""
        if progress.message:
            self._console.print(progress.message)
        self._numbers.plain = numbers(progress)
        self._bar.update(
            self._task,
            description=place(progress),
            completed=min(max(progress.done, 0.0), 1.0),
            left=self._stage.left(progress),
        )
