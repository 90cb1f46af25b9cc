"""The progress of a training, and how it is shown: a live table on a terminal, plain lines elsewhere."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from runs.machine.clock import Clock
from runs.machine.interruption import to_stderr
from runs.observability.progress import INTERVAL, duration, remaining

if TYPE_CHECKING:
    from rich.console import RenderableType

BARS = "_.:-=+*#"  # from an expert that nothing goes to, to one of twice its even share and more


@dataclass(frozen=True, slots=True)
class FitProgress:
    """How far a training is.

    Parameters
    ----------
    name
        Of the training.
    step, steps
        Optimizer steps so far, and in all.
    loss
        Of the last step.
    rates
        Learning rates by group.
    utilization
        Share of each expert in each layer, [L, E].
    tokens_per_second
        Since the log had its last line but one.
    validation_loss, validation_score
        Of the last evaluation.
    score_name
        What the score is.
    message
        Worth a line of its own.
    """

    name: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    rates: Mapping[str, float] | None = None
    utilization: Sequence[Sequence[float]] = ()
    tokens_per_second: float = 0.0
    validation_loss: float | None = None
    validation_score: float | None = None
    score_name: str = "score"
    message: str = ""


Reporter = Callable[[FitProgress], None]


class Writer(Protocol):
    """Shows the progress of a training when it is called with it."""

    def __call__(self, progress: FitProgress) -> None:
        """Show it."""

    def tell(self, text: str) -> None:
        """Show a sentence at once; a signal's handler may call this at any moment."""


def reporting(
    stream: TextIO, quiet: bool = False, clock: Clock = time.monotonic
) -> AbstractContextManager[Writer]:
    """Return a context whose value shows the progress of a training.

    Parameters
    ----------
    stream
        Where it is shown: by a live table on a terminal, else by plain lines.
    quiet
        Whether messages alone are shown.
    clock
        Monotonic seconds.
    """
    if quiet:
        return MessagesAlone(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveTable(stream, clock)
    return PlainLines(stream, clock)


def bar(share: float, experts: int) -> str:
    """Return one character for an expert's share of the tokens: ``=`` for an even one, of `experts`."""
    return BARS[min(len(BARS) - 1, round(share * experts * (len(BARS) // 2)))]


def utilization(shares: Sequence[Sequence[float]]) -> str:
    """Return a bar for each expert, the layers apart: ``+-==:+#. ==-+====``."""
    return " ".join("".join(bar(share, len(layer)) for share in layer) for layer in shares)


def numbers(progress: FitProgress) -> list[tuple[str, str]]:
    """Return name and text of what there is to show of a step."""
    found = [("loss", progress.loss), ("validation loss", progress.validation_loss)]
    found.append((f"validation {progress.score_name}", progress.validation_score))
    rows = [(name, f"{value:.4g}") for name, value in found if value is not None]
    if progress.rates:
        rows.append(("lr", " ".join(f"{name} {rate:.2g}" for name, rate in progress.rates.items())))
    if progress.tokens_per_second:
        rows.append(("tokens/s", f"{progress.tokens_per_second:,.0f}"))
    if progress.utilization:
        rows.append(("experts", utilization(progress.utilization)))
    return rows


class _Pace:
    """Estimates what is left from what was done since the first step that was shown."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._start = clock, clock()
        self._first: int | None = None

    def left(self, progress: FitProgress) -> str:
        if self._first is None:
            self._first, self._start = progress.step, self._clock()
        done, whole = progress.step - self._first, progress.steps - self._first
        return duration(remaining(self._clock() - self._start, done / whole if whole > 0 else 1.0))


class MessagesAlone:
    """Shows messages alone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> "MessagesAlone":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __call__(self, progress: FitProgress) -> None:
        """Show its message, if there is one."""
        if progress.message:
            self._stream.write(f"{progress.message}\n")

    def tell(self, text: str) -> None:
        """Write a line."""
        to_stderr(text)


class PlainLines:
    """Writes a line every few seconds, at the first and the last step, and for each message."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic, interval: float = INTERVAL) -> None:
        self._stream, self._clock, self._interval = stream, clock, interval
        self._pace = _Pace(clock)
        self._written: float | None = None

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.flush()

    def tell(self, text: str) -> None:
        """Write a line, beside the stream: it may be in the middle of another."""
        to_stderr(text)

    def __call__(self, progress: FitProgress) -> None:
        """Write what there is to say."""
        if progress.message:
            self._write(progress.message)
        if not progress.step:
            return
        left, now = self._pace.left(progress), self._clock()
        if self._written is None or progress.step == progress.steps or now - self._written >= self._interval:
            told = "  ".join(f"{name} {value}" for name, value in numbers(progress))
            self._write(f"{progress.name} {progress.step}/{progress.steps}  {told}  {left} left")
            self._written = now

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveTable:
    """Keeps a bar, a table of numbers and what was told at the foot of a terminal; all else scrolls by above them."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._pace = _Pace(clock)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._task = self._bar.add_task("loading", total=None, left="")
        self._shown: FitProgress | None = None
        self._told = ""
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            get_renderable=self._drawn,
            console=self._console,
            redirect_stdout=False,  # stdout is data and never passes through the table
        )

    def __enter__(self) -> "LiveTable":
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def tell(self, text: str) -> None:
        """Keep a sentence, which the table's own thread draws within a quarter of a second.

        Nothing is written here: a signal's handler interrupts the main thread also while that draws.
        """
        self._told = f"plasmodia: {text}"

    def __call__(self, progress: FitProgress) -> None:
        """Set bar and table; the table's own thread draws them."""
        if progress.message:
            self._console.print(progress.message)
        if not progress.step:
            return
        self._shown = progress
        self._bar.update(
            self._task,
            description=f"{progress.name} {progress.step}/{progress.steps}",
            total=progress.steps,
            completed=progress.step,
            left=f"{self._pace.left(progress)} left",
        )

    def _drawn(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in numbers(self._shown) if self._shown is not None else ():
            table.add_row(Text(name), Text(value))
        return Group(self._bar, table, *([Text(self._told)] if self._told else []))
