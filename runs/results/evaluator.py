"""Going on with a finished run's archive: genomes as vectors, scored in the run's own reference hosts.

evaluator = Evaluator(open_run("out/digits"))
archive = evaluator.archive()  # a ribs archive whose solutions any emitter can vary
objectives, measures = evaluator.evaluate(solutions)
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from archive_store.reading import Run
from qd.records import Genome
from runs.config.reader import changed
from runs.config.schema import plain
from runs.errors import RunError
from runs.machine import settings

if TYPE_CHECKING:
    from ribs.archives import CVTArchive


class Evaluator:
    """Scores genomes in the frozen reference hosts of a run, as the run itself does.

    The objective is that of the run (`qd.fitness.Yardstick`), and the measures are its behaviours in [0, 1]. Many
    genomes are scored together; beside others a genome's last bits may change. The run's own code (`task.name`,
    `organism.kind`, `measures` by import path) is imported.

    Parameters
    ----------
    run
        As `archive_store.reading.open_run` gives it.

    Raises
    ------
    PlasmodiaError
        If the task of the configuration is not the run's, or the run is of another version.
    StoreError
        If a file of the run is damaged.
    """

    def __init__(self, run: Run) -> None:
        with suppress(
            RunError
        ):  # torch is there already, with settings of the user's: scores may differ in last bits
            settings.prepare()
        from organisms.flat import FlatGenomes
        from runs import tasks
        from runs.calibration.stored import calibrated, config_of, constants_of, with_calibrated
        from runs.training.build import build
        from runs.training.world import WorldSpec

        config = changed(config_of(run.directory), {"device": "cpu"})
        corpus = tasks.corpus(config.task)
        with run.directory.journal() as journal:
            event = calibrated(run.directory, journal, config, tasks.load(config.task, corpus).digest)
        spec = with_calibrated(WorldSpec(plain(config), corpus), event, run.directory.blobs)
        self._run = run
        self._world = build(spec)
        self._yardstick = constants_of(event, run.directory.blobs).yardstick(config.objective)
        species = self._world.species
        self._flat = FlatGenomes(species.organism(self._world.interface).pool, species.genes)

    @property
    def solution_dim(self) -> int:
        """Length of a vector."""
        return self._flat.size

    def vector(self, genome: Genome) -> Float64[np.ndarray, " size"]:
        """Return a genome as a vector (`organisms.flat.FlatGenomes`)."""
        return self._flat.vector(genome)

    def genome(self, vector: np.ndarray) -> Genome:
        """Return the genome of a vector, its genes clipped and rounded to what is allowed."""
        return self._flat.genome(vector)

    def evaluate(
        self, solutions: np.ndarray | Sequence[Genome]
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "n p"]]:
        """Return the objective and the p measures of each solution, a genome or a vector [n, solution_dim].

        Raises
        ------
        ValueError
            If a vector has another length or is not finite.
        """
        from runs.training.guests import scored

        genomes = [each if isinstance(each, Genome) else self.genome(each) for each in solutions]
        world, yardstick = self._world, self._yardstick
        found = scored(world, genomes, world.hosts, world.probe)
        objectives = [
            yardstick.objective(each.assay, each.flops, each.gradient, each.worth) for each in found
        ]
        behaviours = [yardstick.ranges.behaviour(each.measures)[0] for each in found]
        return np.array(objectives), np.array(behaviours).reshape(len(genomes), -1)

    def archive(self, round: int | None = None) -> "CVTArchive":
        """Return a new ribs archive with the run's elites as vectors, each scored again in the hosts.

        Parameters
        ----------
        round
            After which to look; None: the last.
        """
        from ribs.archives import CVTArchive

        centroids = self._run.centroids()
        archive = CVTArchive(
            solution_dim=self.solution_dim,
            centroids=centroids,
            ranges=[(0.0, 1.0)] * centroids.shape[1],
            seed=self._world.config.seed,
        )
        genomes = [self._run.genome(digest) for digest in self._run.elites(round)["genome"]]
        if genomes:
            archive.add(np.stack([self.vector(genome) for genome in genomes]), *self.evaluate(genomes))
        return archive
