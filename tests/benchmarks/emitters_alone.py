"""Emitters alone: from the archive that a run had after a round, children of elites compete and nothing else does.

Seconds instead of a run for each setting that is to be tried; the shares are the bandit's, and a round is seen by the
next one. ``emitters_alone.py RUN ROUND ROUNDS [emitters.key=value ...]``; without a run a small one is made. Printed
are cells, mean objective and QD score at the start and at the end, and what each emitter brought. Strategies of
adaptive emitters begin anew in every chunk. The answer is checked first: the archive at the start is the run's own.
"""

import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from runs.machine import settings

settings.prepare()

import numpy as np

from archive_store.encoding import encode_genome
from archive_store.reading import Run, open_run
from qd.canonical import sha256
from qd.emitters.contest import Contest
from qd.emitters.plan import emissions
from qd.emitters.shares import Success
from qd.fitness import Yardstick, candidate
from qd.records import Candidate, ComponentId
from qd.view import View
from runs import tasks
from runs.calibration.stored import calibrated, config_of, constants_of, with_calibrated
from runs.config.reader import changed, overridden
from runs.config.schema import plain
from runs.rounds.emitting import plan
from runs.training.build import build
from runs.training.guests import scored
from runs.training.search.emit import emit
from runs.training.world import World, WorldSpec

SMALL = ("rounds=4", "organism.count=4", "--executor", "inline", "--quiet")
Held = dict[int, Candidate]  # the elite of each cell that is filled


def main() -> None:
    """Print for the run that is given, or for a small one."""
    if len(sys.argv) > 3:
        path, after, rounds, *overrides = sys.argv[1:]
        measure(Path(path), int(after), int(rounds), overrides)
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "digits"
        command = (sys.executable, "-m", "runs.cli", "launch", "digits", *SMALL, "--out", str(out))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        measure(out, 4, 10, [])


def measure(path: Path, after: int, rounds: int, overrides: list[str]) -> None:
    """Check, search, print."""
    run = open_run(path)
    world, yardstick = opened(run, overrides)
    contest = Contest(run.centroids(), np.full(len(run.centroids()), -math.inf), yardstick)
    held, genomes = archived(run, after, world, contest)
    before = said(held)
    gains = search(world, contest, held, genomes, range(after + 1, after + 1 + rounds))
    print(f"{before}   to {said(held)}")
    for emitter in world.config.emitters.kinds:
        own = [each for each in gains if each.emitter == emitter]
        print(f"  {emitter:10} {len(own):4} chunks, QD score {math.fsum(each.gain for each in own):+.2f}")


def opened(run: Run, overrides: list[str]) -> tuple[World, Yardstick]:
    """Build the world of a run, its emitters set otherwise."""
    config = changed(config_of(run.directory), {"device": "cpu"})
    corpus = tasks.corpus(config.task)
    with run.directory.journal() as journal:
        event = calibrated(run.directory, journal, config, tasks.load(config.task, corpus).digest)
    spec = with_calibrated(WorldSpec(plain(config), corpus), event, run.directory.blobs)
    world = build(replace(spec, config=plain(overridden(config, overrides))))
    return world, constants_of(event, run.directory.blobs).yardstick(config.objective)


def archived(run: Run, after: int, world: World, contest: Contest) -> tuple[Held, dict[str, bytes]]:
    """Score the elites that a run had after a round once more; return them by cell, and their encoded genomes."""
    elites = run.elites(after)
    genomes = [run.genome(digest) for digest in elites["genome"]]
    held: Held = {}
    for place, (genome, row) in enumerate(
        zip(genomes, scored(world, genomes, world.hosts, world.probe), strict=True)
    ):
        behaviour, beyond = contest.yardstick.ranges.behaviour(row.measures)
        objective = contest.yardstick.objective(row.assay, row.flops, row.gradient, row.worth)
        name, digest = ComponentId(0, after, place), sha256(encode_genome(genome))
        cell = int(contest.cells([behaviour])[0])
        held[cell] = Candidate(
            name, (), name, genome.depth, genome.genes, digest, after, behaviour, beyond, objective
        )
    assert sorted(held) == sorted(elites["cell"])
    return held, {sha256(data): data for data in map(encode_genome, genomes)}


def search(
    world: World, contest: Contest, held: Held, genomes: dict[str, bytes], rounds: range
) -> list[Success]:
    """Let children compete round by round; the elites and their genomes change in place."""
    asked, past = plan(world.config), list[Success]()
    for number in rounds:
        view = View(tuple(sorted(held)), tuple(held[cell] for cell in sorted(held)), len(contest.centroids))
        seen = Contest.of(view, contest.centroids, contest.yardstick)
        for order in emissions(asked, number, view, tuple(past), {}):
            known = {parent.genome: genomes[parent.genome] for parent in order.parents}
            report, _, made = emit(world, order, known, seen, lambda: 0.0)
            entrants = [candidate(child, number, contest.yardstick) for child in report.emitted.contenders]
            gain = math.fsum(entered(each, held, contest) for each in entrants)
            past.append(Success(order.emitter, report.emitted.flops, gain))
            genomes |= made
    return past


def entered(entrant: Candidate, held: Held, contest: Contest) -> float:
    """Let a candidate have its cell if it is better; return by how much the QD score rises."""
    cell = int(contest.cells([entrant.behaviour])[0])
    bar = held[cell].objective if cell in held else 0.0
    if cell in held and entrant.objective <= bar:
        return 0.0
    held[cell] = entrant
    return entrant.objective - bar


def said(held: Held) -> str:
    """Return cells, mean objective and QD score."""
    objectives = [elite.objective for elite in held.values()]
    return f"{len(held)} cells of mean {np.mean(objectives):.3f}, QD score {math.fsum(objectives):.1f}"


if __name__ == "__main__":
    main()
