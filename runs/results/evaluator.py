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
from qd.fitness import Weights, objective, percentiles
from qd.records import ComponentId, Genome
from runs.config.reader import changed
from runs.config.schema import plain
from runs.errors import RunError
from runs.machine import settings

if TYPE_CHECKING:
    from ribs.archives import CVTArchive

_GUEST = ComponentId(0, 0, 0)


class Evaluator:
    """Scores genomes in the frozen reference hosts of a run, one at a time: equal genomes, equal scores.

    The objective is that of the run (`qd.fitness.objective`), and the measures are its behaviours in [0, 1], but both
    are taken inside the hosts, with the means over them: the measures and the percentile of the gate gradient of a
    journaled elite are those of the organism that it lived in. The run's own code (`task.name`, `organism.kind`,
    `measures` by import path) is imported.

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
        from runs.training.build import build, reference_organism
        from runs.training.world import WorldSpec

        config = changed(config_of(run.directory), {"device": "cpu"})
        corpus = tasks.corpus(config.task)
        with run.directory.journal() as journal:
            event = calibrated(run.directory, journal, config, tasks.load(config.task, corpus).digest)
        spec = with_calibrated(WorldSpec(plain(config), corpus), event, run.directory.blobs)
        self._run = run
        self._world = build(spec)
        self._organisms = [reference_organism(self._world, host) for host in spec.hosts]
        self._constants = constants_of(event, run.directory.blobs)
        weights = config.objective
        self._weights = Weights(weights.task, weights.efficiency, weights.gradient)
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
        genomes = [each if isinstance(each, Genome) else self.genome(each) for each in solutions]
        scored = [self._score(genome) for genome in genomes]
        measures = np.array([behaviour for _, behaviour in scored]).reshape(len(scored), -1)
        return np.array([value for value, _ in scored]), measures

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

    def _score(self, genome: Genome) -> tuple[float, tuple[float, ...]]:
        from organisms.pool import Occupant
        from runs.training.measures import measured

        world, rows, places = self._world, [], []
        for organism in self._organisms:
            pool = organism.pool
            first = genome.depth * pool.capacity
            free = [slot for slot in range(first, first + pool.capacity) if pool.occupants[slot] is None]
            pool.graft(free[0], genome, Occupant(_GUEST, (), _GUEST, genome.genes))
            probe = world.species.probe(organism, world.probe.inputs, world.probe.targets)
            place = probe.slots.index(free[0])
            rows.append(measured(world, organism, probe, world.probe)[place].tolist())
            places.append(percentiles(probe.gradients.tolist())[place])
            pool.retire(free[0])
        alone = world.species.organism(world.interface)
        alone.pool.graft(
            genome.depth * alone.pool.capacity, genome, Occupant(_GUEST, (), _GUEST, genome.genes)
        )
        value = objective(
            float(world.species.assay(alone, world.hosts).mean()),
            self._constants.reference,
            float(world.species.cost(genome.genes)[0]),
            self._constants.largest_flops,
            float(np.mean(places)),
            self._weights,
        )
        return value, self._constants.ranges.behaviour(np.mean(rows, axis=0).tolist())[0]
