"""Children a second by emitter, on one core at the sizes of `digits`: made and scored in the hosts.

The answer is checked first: the same emission gives the same children and scores. A race is won where all children lie
below the elites of their cells, and lost where all cells are empty; a run lies between the two.
"""

import math
import statistics
import sys
import time
from dataclasses import replace

from runs.machine import settings

settings.prepare()

import numpy as np

from archive_store.encoding import encode_genome
from qd.canonical import canonical, sha256
from qd.centroids import halton_cvt
from qd.emitters.contest import Contest
from qd.emitters.kinds import KINDS
from qd.emitters.records import Campaign, Emission, Parent
from qd.fitness import Yardstick
from qd.measures import Ranges
from qd.records import ComponentId
from runs.config.reader import load
from runs.config.schema import plain
from runs.training import calibration_jobs
from runs.training.births.newborns import founder
from runs.training.build import build
from runs.training.search.emit import emit
from runs.training.world import World, WorldSpec

REPEATS = 5


def main() -> None:
    """Check, measure, print."""
    preset = sys.argv[1] if len(sys.argv) > 1 else "digits"
    world = calibrated(preset)
    print(f"{preset}, chunks of {world.config.emitters.chunk} children, CPU seconds of one thread")
    for emitter in KINDS:
        order, genomes = asked(world, emitter)
        reports = {
            canonical(emit(world, order, genomes, contest(world, -math.inf), zero)[0].emitted)
            for _ in range(2)
        }
        assert len(reports) == 1, f"{emitter} gives other scores each time"
        rates = [rate(world, order, genomes, bar) for bar in (-math.inf, 2.0)]
        print(f"{emitter:10}  all scored {rates[0]:7.0f} a second   all ruled out {rates[1]:7.0f} a second")


def calibrated(preset: str) -> World:
    """Build the world of a preset whose interface and hosts are hardly trained."""
    spec = WorldSpec(plain(load(preset, ["calibration.steps=40"])))
    spec = replace(spec, interface=calibration_jobs.interface(build(spec))[1])
    world = build(spec)
    return build(replace(spec, hosts=tuple(calibration_jobs.reference(world, n)[1] for n in (-2, -3, -4))))


def asked(world: World, emitter: str) -> tuple[Emission, dict[str, bytes]]:
    """Return a chunk of children of the founders of an organism, and their encoded genomes."""
    pool = founder(world, 0).organism.pool
    encoded = [encode_genome(pool.genome(slot)) for slot, _ in pool.alive() if pool.layer(slot) == 0]
    names = [ComponentId(0, 0, slot) for slot in range(len(encoded))]
    parents = tuple(Parent(name, name, sha256(data), 0) for name, data in zip(names, encoded, strict=True))
    number, known = world.config.emitters.chunk, {sha256(data): data for data in encoded}
    if KINDS[emitter].adaptive:
        everyone = tuple(range(len(parents)))
        return Emission(1, 0, emitter, parents, (everyone,) * number, Campaign(1, 0)), known
    pairs = ((place % len(parents), (place + 1) % len(parents)) for place in range(number))
    return Emission(1, 0, emitter, parents, tuple(pairs)), known


def contest(world: World, bar: float) -> Contest:
    """Return cells in all of which an elite of this objective lives."""
    p, cells = len(world.config.measures), world.config.archive.cells
    yardstick = Yardstick(Ranges((-20.0,) * p, (20.0,) * p), 0.3, 1e9, (0.1,))
    return Contest(halton_cvt(cells, p, 0), np.full(cells, bar), yardstick)


def rate(world: World, order: Emission, genomes: dict[str, bytes], bar: float) -> float:
    """Return children a second, the median of some chunks."""
    cells, seconds = contest(world, bar), []
    for _ in range(REPEATS):
        started = time.process_time()
        emit(world, order, genomes, cells, zero)
        seconds.append(time.process_time() - started)
    return len(order.children) / statistics.median(seconds)


def zero() -> float:
    """Tell no time."""
    return 0.0


if __name__ == "__main__":
    main()
