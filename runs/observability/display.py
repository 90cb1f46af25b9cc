"""How progress is shown, whatever it is of: a live bar on a terminal, plain lines elsewhere, or messages alone.

Whoever shows it is the only one to write to the terminal meanwhile. What is told by a signal's handler, which may come
in the middle of a write, is a part of the bar and drawn with it; plain lines are whole, and another fits between them.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TextIO, TypeVar

from runs.machine.clock import Clock
from runs.machine.interruption import to_stderr

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL = 5.0  # seconds between two plain lines

Report = TypeVar("Report", contravariant=True)  # what is reported


@dataclass(frozen=True, slots=True)
class View:
    """What there is to see of a report.

    Parameters
    ----------
    stage
        What is under way; a new one is told at once, and what is left is estimated within one.
    place
        How far it is, in words.
    numbers
        Name and text of each.
    done
        Share of the stage, in [0, 1]; None: it has no parts.
    """

    stage: str
    place: str
    numbers: tuple[tuple[str, str], ...] = ()
    done: float | None = None


@dataclass(frozen=True, slots=True)
class Look(Generic[Report]):
    """How reports of one kind are looked at.

    Parameters
    ----------
    view
        From a report to what there is to see of it; None: nothing but its message.
    message
        From a report to what is worth a line of its own; empty: nothing.
    is_table
        Whether numbers stand below one another at the foot of a terminal, and not in one line.
    quiet_messages
        Whether who wants it quiet is told messages all the same.
    """

    view: Callable[[Report], View | None]
    message: Callable[[Report], str]
    is_table: bool = False
    quiet_messages: bool = False


class Writer(Protocol[Report]):
    """Shows progress when it is called with a report."""

    def __call__(self, report: Report) -> None:
        """Show it."""

    def tell(self, text: str) -> None:
        """Show a sentence at once; a signal's handler may call this at any moment."""


def reporting(
    look: Look[Report], stream: TextIO, quiet: bool = False, clock: Clock = time.monotonic
) -> AbstractContextManager[Writer[Report]]:
    """Return a context whose value shows reports.

    Parameters
    ----------
    look
        How they are looked at.
    stream
        Where they are shown: by a live bar on a terminal, else by plain lines.
    quiet
        Whether only what is told is shown, and messages where the look says so.
    clock
        Monotonic seconds.
    """
    if quiet:
        return Quiet(look, stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveBar(look, stream, clock)
    return PlainLines(look, stream, clock)


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


class _Stage:
    """Times a stage, for the estimate of what is left of it; stages differ in pace."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._name: str | None = None
        self._start = clock()
        self._first = 0.0

    def left(self, view: View) -> str | None:
        """Return how long it will take to the end of the stage, or None if it has no parts."""
        if view.done is None:
            return None
        if view.stage != self._name:
            # What is resumed starts its stage in the middle: only what is done from here on counts.
            self._name, self._start, self._first = view.stage, self._clock(), view.done
        share = (view.done - self._first) / (1.0 - self._first) if self._first < 1.0 else 1.0
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


class Quiet(Generic[Report]):
    """Shows no progress, and messages where the look says so."""

    def __init__(self, look: Look[Report], stream: TextIO) -> None:
        self._look, self._stream = look, stream

    def __enter__(self) -> "Quiet[Report]":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __call__(self, report: Report) -> None:
        """Show its message, if somebody wants it."""
        message = self._look.message(report)
        if message and self._look.quiet_messages:
            self._stream.write(f"{message}\n")

    def tell(self, text: str) -> None:
        """Write a line."""
        to_stderr(text)


class PlainLines(Generic[Report]):
    """Writes a line every few seconds, at every change of stage, at the end and for each message."""

    def __init__(
        self,
        look: Look[Report],
        stream: TextIO,
        clock: Clock = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self._look, self._stream, self._clock, self._interval = look, stream, clock, interval
        self._stage = _Stage(clock)
        self._written: float | None = None  # when the last line was
        self._shown = self._line = ""  # the stage that it was about, and its text

    def __enter__(self) -> "PlainLines[Report]":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.flush()

    def tell(self, text: str) -> None:
        """Write a line, beside the stream: it may be in the middle of another."""
        to_stderr(text)

    def __call__(self, report: Report) -> None:
        """Write what there is to say."""
        message, view = self._look.message(report), self._look.view(report)
        if message:
            self._write(message)
        if view is None:
            return
        now, left = self._clock(), self._stage.left(view)
        is_new = view.stage != self._shown or self._written is None
        is_over = view.done is not None and view.done >= 1.0
        if is_new or is_over or now - (self._written or 0.0) >= self._interval:
            share = "" if view.done is None else f"{view.done:.0%}, {left} left"
            line = "  ".join(part for part in (view.place, joined(view), share) if part)
            if line != self._line:
                self._write(line)
            self._written, self._shown, self._line = now, view.stage, line

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveBar(Generic[Report]):
    """Keeps a bar, numbers and what was told at the foot of a terminal; all else scrolls by above them."""

    def __init__(self, look: Look[Report], stream: TextIO, clock: Clock = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._look, self._stage = look, _Stage(clock)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._task = self._bar.add_task("loading", total=None, left="")
        self._shown = View("", "")
        self._told = ""
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            get_renderable=self._drawn,
            console=self._console,
            redirect_stdout=False,  # stdout is data and never passes through the bar
        )

    def __enter__(self) -> "LiveBar[Report]":
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def tell(self, text: str) -> None:
        """Keep a sentence, which the bar's own thread draws within a quarter of a second.

        Nothing is written here: a signal's handler interrupts the main thread also while that draws.
        """
        self._told = f"plasmodia: {text}"

    def __call__(self, report: Report) -> None:
        """Set bar and numbers; the bar's own thread draws them."""
        message, view = self._look.message(report), self._look.view(report)
        if message:
            self._console.print(message)
        if view is None:
            return
        self._shown, left = view, self._stage.left(view)
        self._bar.update(
            self._task,
            description=view.place,
            total=None if view.done is None else 1.0,  # without an end it only shows that time passes
            completed=0.0 if view.done is None else min(max(view.done, 0.0), 1.0),
            left="" if left is None else f"{left} left",
        )

    def _drawn(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        numbers: RenderableType = Text(joined(self._shown))
        if self._look.is_table:
            numbers = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
            for name, value in self._shown.numbers:
                numbers.add_row(Text(name), Text(value))
        return Group(self._bar, numbers, *([Text(self._told)] if self._told else []))


def joined(view: View) -> str:
    """Return the numbers in one line: ``loss 0.5  births 7``."""
    return "  ".join(f"{name} {value}" for name, value in view.numbers)
