"""The progress that a run reports, and how it is looked at."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TextIO

from runs.machine.clock import Clock
from runs.observability import display
from runs.observability.display import Look, View


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


Writer = display.Writer[Progress]


def place(progress: Progress) -> str:
    """Return how far the run is: ``calibration`` or ``round 3/40``."""
    return f"round {progress.round}/{progress.rounds}" if progress.stage == "rounds" else progress.stage


def numbers(progress: Progress) -> tuple[tuple[str, str], ...]:
    """Return name and text of the numbers of a report; calibration has none yet."""
    if progress.stage != "rounds":
        return ()
    known = (("best validation score", progress.score), ("loss", progress.loss))
    learned = [(name, f"{value:.4g}") for name, value in known if value is not None]
    return (
        *learned,
        ("coverage", f"{progress.coverage:.1%}"),
        ("QD score", f"{progress.qd_score:.2f}"),
        ("T", f"{progress.temperature:.3f}"),
        ("births", str(progress.births)),
        ("deaths", str(progress.deaths)),
    )


def view(progress: Progress) -> View:
    """Return what there is to see of a run."""
    return View(progress.stage, place(progress), numbers(progress), progress.done)


LOOK: Look[Progress] = Look(view, lambda progress: progress.message)


def reporting(
    stream: TextIO, quiet: bool = False, clock: Clock = time.monotonic
) -> AbstractContextManager[Writer]:
    """Return a context whose value shows the progress of a run, as `runs.observability.display.reporting` does.

    Parameters
    ----------
    stream, quiet, clock
        As there.
    """
    return display.reporting(LOOK, stream, quiet, clock)
