"""The progress of a training, and how it is looked at."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TextIO

from runs.machine.clock import Clock
from runs.observability import display
from runs.observability.display import Look, View

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


Writer = display.Writer[FitProgress]


def reporting(
    stream: TextIO, quiet: bool = False, clock: Clock = time.monotonic
) -> AbstractContextManager[Writer]:
    """Return a context whose value shows the progress of a training, as `runs.observability.display.reporting` does.

    Parameters
    ----------
    stream, quiet, clock
        As there; messages are shown to who wants it quiet, too.
    """
    return display.reporting(LOOK, stream, quiet, clock)


def bar(share: float, experts: int) -> str:
    """Return one character for an expert's share of the tokens: ``=`` for an even one, of `experts`."""
    return BARS[min(len(BARS) - 1, round(share * experts * (len(BARS) // 2)))]


def utilization(shares: Sequence[Sequence[float]]) -> str:
    """Return a bar for each expert, the layers apart: ``+-==:+#. ==-+====``."""
    return " ".join("".join(bar(share, len(layer)) for share in layer) for layer in shares)


def numbers(progress: FitProgress) -> tuple[tuple[str, str], ...]:
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
    return tuple(rows)


def view(progress: FitProgress) -> View | None:
    """Return what there is to see of a training; None before its first step."""
    if not progress.step:
        return None
    place = f"{progress.name} {progress.step}/{progress.steps}"
    return View("training", place, numbers(progress), progress.step / progress.steps)


LOOK: Look[FitProgress] = Look(view, lambda progress: progress.message, is_table=True, quiet_messages=True)
