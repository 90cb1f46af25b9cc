"""The second look at the elites: they are scored again on held-out examples before a round is journaled.

The search sees the probe split alone, and what beats thousands of others there is partly lucky. On examples that it has
not seen an elite may be worth less, lie in another cell, or nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from archive_store.blobs import BlobStore
from qd.archive import Archive
from qd.emitters.records import HeldOut, HeldOutElite
from qd.fitness import Yardstick
from qd.records import Candidate, ComponentId, Scored
from qd.view import View
from runs.config.schema import Config
from runs.rounds.ledger import Closed
from runs.workers.dispatch import Dispatcher
from runs.workers.jobs import RESCORE, Done, Job

HELD_OUT = "held_out"  # kind of the event


class Rescoring:
    """Has the elites of a closed round scored again, and makes the event of it.

    Parameters
    ----------
    config
        Of the run: says in which rounds.
    centroids, yardstick
        Of its archive.
    blobs
        Genomes of the elites.
    dispatcher
        Sends jobs to trainers.
    """

    def __init__(
        self,
        config: Config,
        centroids: np.ndarray,
        yardstick: Yardstick,
        blobs: BlobStore,
        dispatcher: Dispatcher,
    ) -> None:
        self._config = config
        self._centroids = centroids
        self._yardstick = yardstick
        self._blobs = blobs
        self._dispatcher = dispatcher
        self._asked: int | None = None  # round
        self._found: dict[int, Sequence[Scored]] = {}  # by chunk

    def due(self, round: int, last: bool) -> bool:
        """Return whether the elites are scored again at the end of a round: the `last`, and others by choice."""
        every = self._config.archive.rescore_every
        return last or (every is not None and round % every == 0)

    def asked(self, round: int) -> bool:
        """Return whether the elites of a round were sent."""
        return self._asked == round

    def ask(self, view: View, round: int) -> None:
        """Send the elites of a round, whose genomes are stored, in chunks.

        Raises
        ------
        BlobError
            If a genome is missing or damaged; nothing was sent then.
        """
        chunks = self._chunks(view)
        arguments = [tuple(self._blobs.get(elite.genome) for elite in chunk) for chunk in chunks]
        self._asked, self._found = round, {}
        for number, genomes in enumerate(arguments):
            self._dispatcher.submit(Job(RESCORE, round, number, (genomes,)), (round, math.inf, number))

    def take(self, done: Done) -> None:
        """Take an answer."""
        self._found[done.job.organism] = done.report

    def finished(self, closed: Closed) -> Closed | None:
        """Return the round with the event of its second look; None while answers are missing."""
        if closed.items[-1][0] == HELD_OUT:
            return closed
        chunks = self._chunks(closed.view)
        if len(self._found) < len(chunks):
            return None
        rows = [row for number in range(len(chunks)) for row in self._found[number]]
        event = held_out(closed.view, rows, closed.round, self._centroids, self._yardstick)
        return replace(closed, items=(*closed.items, (HELD_OUT, event)))

    def _chunks(self, view: View) -> list[Sequence[Candidate]]:
        size = self._config.emitters.chunk
        return [view.elites[first : first + size] for first in range(0, len(view.elites), size)]


def held_out(
    view: View, rows: Sequence[Scored], round: int, centroids: np.ndarray, yardstick: Yardstick
) -> HeldOut:
    """Return what the elites of a view are on held-out examples.

    They compete anew: who is still useful (the lower bound of the assay is above 0) comes into the cell where it lies
    there, and the best of each cell counts.

    Parameters
    ----------
    view
        The archive at the end of a round.
    rows
        What each of its elites is on the held-out examples, cells ascending.
    round
        Number of the round.
    centroids, yardstick
        Of the archive.

    Source: the "corrected" archive of Flageat & Cully, "Uncertain quality-diversity", 2023.
    """
    found, entrants = [], []
    for cell, elite, row in zip(view.cells, view.elites, rows, strict=True):
        behaviour, outside = yardstick.ranges.behaviour(row.measures)
        objective = yardstick.objective(row.assay, row.flops, row.gradient, row.worth)
        found.append(HeldOutElite(cell, objective, row.assay, row.assay_lower, behaviour))
        if row.assay_lower > 0:
            entrants.append(replace(elite, behaviour=behaviour, out_of_range=outside, objective=objective))
    archive = Archive(centroids, view.qd_offset)
    # Numbered by cell, because a component may hold several cells and competes once in a commit.
    archive.commit([replace(each, component=ComponentId(0, 0, place)) for place, each in enumerate(entrants)])
    seen = archive.view()
    best = seen.best
    return HeldOut(
        round=round,
        elites=tuple(found),
        useful=len(entrants),
        coverage=seen.coverage,
        qd_score=seen.qd_score,
        best_objective=None if best is None else best.objective,
        mean_objective=seen.mean_objective,
    )
