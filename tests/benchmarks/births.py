"""What a birth does for its organism: at once, and after each of five rounds of training, by the arm of the births.

Organisms are trained without births and deaths; after some of the rounds each is given one birth, in every arm the same
one but for the material, and trained on for five rounds on the same batches. Differences are paired by organism and
round, with 95 % intervals (Student's t over the organisms, each a mean over its rounds).
``births.py TASK SEEDS [key=value ...]``.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from runs.machine import settings

settings.prepare()

import numpy as np
from scipy import stats

from archive_store.run_directory import RunDirectory
from qd.centroids import neighbours
from qd.lifecycle.decide import decide
from qd.measures import Ranges
from qd.records import Census, Decision
from qd.view import View
from runs.calibration.constants import Calibration
from runs.calibration.stored import constants_of, journaled, with_calibrated
from runs.config.reader import load
from runs.config.schema import Config
from runs.launch import launch
from runs.prepared import prepare
from runs.rounds.ledger import Ledger
from runs.rounds.rules import rules
from runs.trainer import advance
from runs.training.births.order import obeyed
from runs.training.build import build
from runs.training.census import evaluate
from runs.training.optimise import batches, learning_rate, train
from runs.training.state import decode_state
from runs.training.world import World

ARMS = ("archive", "random", "genes", "clone", "none")
AT = (4, 8)  # rounds after which births are tried
LATER = 5  # rounds that are trained after a birth
SETTINGS = ("execution.executor=inline", "births=none", "lifecycle.enabled=false", "emitters.children=0")


@dataclass
class Past:
    """An experiment so far: organisms at the end of a round, and the archive that they filled."""

    round: int
    states: dict[int, bytes]
    censuses: dict[int, list[Census]]
    view: View
    ranges: Ranges


@dataclass
class Told:
    """What became of one birth."""

    gain: float = 0.0  # in the trial, on training examples
    at_birth: float = 0.0  # change of the validation loss
    later: list[float] = field(default_factory=list)  # validation loss after each round
    assay: float = 0.0  # mean over the components after the last round
    use: float = 0.0  # the same of the ablation


def main() -> None:
    """Measure and print."""
    task = sys.argv[1] if len(sys.argv) > 1 else "digits"
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    told: dict[str, dict[tuple[int, int, int], Told]] = {arm: {} for arm in ARMS}
    for seed in range(seeds):
        world, calibration = calibrated(task, seed, *sys.argv[3:])
        genomes: dict[str, bytes] = {}
        for past in lives(world, calibration, genomes, AT):
            for arm in ARMS:
                for organism in past.states:
                    key = (seed, organism, past.round)
                    told[arm][key] = one(world, calibration, past, organism, arm, genomes)
    report(told)


def calibrated(task: str, seed: int, *changes: str) -> tuple[World, Calibration]:
    """Calibrate a run of a task, and give its world."""
    with tempfile.TemporaryDirectory() as folder:
        config = load(task, (*SETTINGS, f"seed={seed}", *changes))
        short = launch(load(task, (*SETTINGS, f"seed={seed}", "rounds=1", *changes)), Path(folder) / "run")
        directory = RunDirectory.open(short)
        with directory.journal() as journal:
            _, event = journaled(directory, journal)
            calibration = constants_of(event, directory.blobs)
            world = build(with_calibrated(prepare(config).world(), event, directory.blobs))
    return world, calibration


def lives(
    world: World, calibration: Calibration, genomes: dict[str, bytes], rounds: Sequence[int]
) -> Sequence[Past]:
    """Train all organisms without births and deaths and give what was after some rounds."""
    ledger, states, found = Ledger(world.config, calibration), dict[int, bytes | None](), []
    for round in range(1, max(rounds) + 1):
        for organism in ledger.organisms:
            order = ledger.decision(organism, round)
            told, states[organism], made = advance(world, states.get(organism), order, {}, count().__next__)
            ledger.accept(told.census)
            genomes |= made
        assert ledger.complete()
        ledger.close(validity=False)
        if round in rounds:
            known = {o: [ledger.census(o, r + 1) for r in range(round)] for o in ledger.organisms}
            found.append(Past(round, dict(states), known, ledger.view, calibration.ranges))
    return found


def order_for(
    config: Config, calibration: Calibration, past: Past, organism: int, arm: str, **changes: object
) -> Decision:
    """Decide on a birth that is certain, or on nothing in the arm `none`."""
    enabled = config.model_copy(update={"births": arm})
    settled = {"enabled": True, "warmup": 0.0, "gentle": 1.0, "slow_every": 10**6, "exploration": 0.0}
    of_arm = replace(rules(enabled, calibration.largest_flops), **(settled | changes))
    near = neighbours(calibration.centroids)
    decision = decide(of_arm, past.round + 1, past.censuses[organism], past.view, near, past.ranges)
    return replace(decision, births=tuple(replace(birth, happens=True) for birth in decision.births))


def one(
    world: World,
    calibration: Calibration,
    past: Past,
    organism: int,
    arm: str,
    genomes: Mapping[str, bytes],
    **changes: object,
) -> Told:
    """Give an organism a birth, and train it on."""
    order = order_for(world.config, calibration, past, organism, arm, **changes)
    return trained_on(world, past, organism, order, genomes)


def trained_on(
    world: World, past: Past, organism: int, order: Decision, genomes: Mapping[str, bytes]
) -> Told:
    """Train an organism on after an order, without births and deaths in the later rounds."""
    told, state = Told(), past.states[organism]
    before, _ = evaluate(world, decode_state(world, state).organism, world.validation)
    made, trials, slots = obeyed(world, state, order, genomes)
    for trial in trials:
        told.gain = 0.0 if trial.chosen is None else trial.gains[trial.chosen]
    told.at_birth = evaluate(world, made.organism, world.validation)[0] - before
    steps = world.config.training.steps_per_round
    rate = learning_rate(world, steps * world.config.rounds)
    for round in range(past.round + 1, past.round + 1 + LATER):
        train(world, made, batches(world, organism, round, steps), rate, slots)
        told.later.append(evaluate(world, made.organism, world.validation)[0])
        slots = []
    examples = world.probe
    told.assay = float(world.species.assay(made.organism, world.hosts).drops.mean())
    told.use = float(world.species.probe(made.organism, examples.inputs, examples.targets).ablations.mean())
    return told


def interval(differences: Mapping[tuple[int, int, int], float]) -> tuple[float, float]:
    """Return the mean and half the 95 % interval of paired differences; organisms are the sample."""
    by_organism: dict[tuple[int, int], list[float]] = {}
    for (seed, organism, _), value in differences.items():
        by_organism.setdefault((seed, organism), []).append(value)
    means = np.array([np.mean(values) for values in by_organism.values()])
    half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
    return float(means.mean()), float(half)


def numbers(told: Told) -> list[float]:
    """Return what is compared: gain, change at birth, losses after each round, and what components are worth."""
    return [told.gain, told.at_birth, *told.later, told.assay, told.use]


def report(told: Mapping[str, Mapping[tuple[int, int, int], Told]], base: str = "archive") -> None:
    """Print the means of every arm, and the paired differences of the first arm against the others."""
    rounds = [f"round {number}" for number in range(1, LATER + 1)]
    names = ["gain in trial", "at birth", *rounds, "assay", "ablation"]
    first = next(iter(told.values()))
    print(f"{len(first)} births an arm; validation losses in nats per example")
    print(f"{'':24}" + "".join(f"{name:>18}" for name in names))
    for arm, births in told.items():
        rows = np.array([numbers(birth) for birth in births.values()])
        print(f"{arm:24}" + "".join(f"{value:>18.4f}" for value in rows.mean(0)))
    for arm, births in told.items():
        if arm == base:
            continue
        cells = []
        for column in range(len(names)):
            pairs = {key: numbers(told[base][key])[column] - numbers(births[key])[column] for key in births}
            mean, half = interval(pairs)
            cells.append(f"{mean:+.4f} +- {half:.4f}")
        print(f"{base} - {arm:14}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
