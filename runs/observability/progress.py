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

    stage: str  # loading, starting workers, calibration or rounds
    round: int = 0  # the last one committed
    rounds: int = 0
    coverage: float = 0.0  # share of the cells that are filled
    qd_score: float = 0.0
    temperature: float = 0.0
    births: int = 0  # so far
    deaths: int = 0  # so far
    done: float | None = None  # share of the stage, in [0, 1]; None: it has no parts
    message: str = ""  # worth a line of its own, such as a worker that was lost
    score: float | None = None  # best validation score of an organism in the round
    loss: float | None = None  # mean training loss in the round


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
    known = (("best validation score", progress.score), ("loss", progress.loss))
    learned = [f"{name} {value:.4g}" for name, value in known if value is not None]
    return "  ".join(
        [
            *learned,
            f"coverage {progress.coverage:.1%}",
            f"QD score {progress.qd_score:.2f}",
            f"T {progress.temperature:.3f}",
            f"births {progress.births}",
            f"deaths {progress.deaths}",
        ]
    )


class _Stage:
    """Times a stage, for the estimate of what is left of it; calibration and rounds differ in pace."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._name = ""
        self._start = clock()
        self._first = 0.0

    def left(self, progress: Progress) -> str | None:
        """Return how long it will take to the end of the stage, or None if it has no parts."""
        if progress.done is None:
            return None
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
        self._shown = self._line = ""  # the stage that it was about, and its text

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
        is_over = progress.done is not None and progress.done >= 1.0
        if is_new or is_over or now - (self._written or 0.0) >= self._interval:
            share = "" if progress.done is None else f"{progress.done:.0%}, {left} left"
            parts = (place(progress), numbers(progress), share)
            line = "  ".join(part for part in parts if part)
            if line != self._line:
                self._write(line)
            self._written, self._shown, self._line = now, progress.stage, line

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
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._task = self._bar.add_task("loading", total=None, left="")
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
        self._live.start(refresh=True)
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
        left = self._stage.left(progress)
        self._bar.update(
            self._task,
            description=place(progress),
            total=None
            if progress.done is None
            else 1.0,  # without an end the bar only shows that time passes
            completed=0.0 if progress.done is None else min(max(progress.done, 0.0), 1.0),
            left="" if left is None else f"{left} left",
        )
