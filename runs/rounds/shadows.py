"""Shadow orders: what an organism would have become with something else born than what was, or with nothing."""

import math
from collections.abc import Callable
from typing import Any

from qd.canonical import plain
from qd.lifecycle.trial import MATERIALS, born
from qd.records import Census, Decision
from qd.seeding import happens, uniform
from runs.workers.dispatch import Dispatcher
from runs.workers.jobs import SHADOW, Done, Job


class Shadows:
    """Sends shadow orders after all others and notes what comes of them where no digest covers it.

    Parameters
    ----------
    seed, share
        Of the run, and share of the births, by a named draw.
    dispatcher
        Sends jobs to trainers.
    note
        Called with round, organism and what came of a shadow.
    """

    def __init__(
        self, seed: int, share: float, dispatcher: Dispatcher, note: Callable[[int, int, Any], None]
    ) -> None:
        self._seed = seed
        self._share = share
        self._dispatcher = dispatcher
        self._note = note
        self._under_way: set[tuple[str, int, int]] = set()

    @property
    def waiting(self) -> bool:
        """Whether a shadow is under way."""
        return bool(self._under_way)

    def follow(self, done: Done) -> None:
        """Send the shadows of one of the births of an order that was done for the first time, if it is drawn."""
        state, order, genomes = done.job.arguments
        census: Census = done.report.census
        slot = self._drawn(order, census)
        if slot is None:
            return
        for material in MATERIALS:
            arguments = (state, order, genomes, census.trials, slot, material)
            job = Job(f"{SHADOW}{material}", order.round, order.organism, arguments, optional=True)
            self._under_way.add(job.key)
            self._dispatcher.submit(job, (math.inf, order.round, order.organism))

    def take(self, done: Done) -> None:
        """Note what came of a shadow."""
        self._under_way.discard(done.job.key)
        self._note(done.job.round, done.job.organism, plain(done.report))

    def drop(self, job: Job) -> None:
        """Forget a shadow that was lost: nothing depends on it, and it is not tried again."""
        self._under_way.discard(job.key)

    def _drawn(self, order: Decision, census: Census) -> int | None:
        """Return the slot of the first birth that happened and is drawn, if there is one."""
        for birth, _ in born(order, census):
            draw = uniform(self._seed, order.round, f"shadow:{order.organism}:{birth.slot}")
            if happens(self._share, draw):
                return birth.slot
        return None
