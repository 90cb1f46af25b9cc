"""What a graft does: an elite helps organisms that it has never seen, a random component does harm.

The numbers are means over several elites, held-out organisms and random draws, right after the graft and
on examples that nobody was trained or chosen on.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from organisms.pool import Occupant
from qd.records import ComponentId, Genome
from qd.variation import norm_matched
from runs.config.model import configured
from runs.training import calibration_jobs
from runs.training.build import build, emptied
from runs.training.census import evaluate
from runs.training.state import decode_state
from runs.training.world import World, WorldSpec

HOSTS, GUESTS, HELD_OUT = (-2, -3, -4), (-5, -6, -7), (-8, -9, -10, -11)
DRAWS = 4
CALIBRATED = -99  # the number of an organism that is no host
CONFIG = configured(
    {
        "organism": {"dim": 32, "capacity": 6, "initial": 4, "pseudopods": {"max_rank": 8, "max_width": 8}},
        "calibration": {"steps": 100, "checkpoints": [1.0], "organisms": 4},
        "lifecycle": {"min_alive": 1},
    }
)


@dataclass(frozen=True)
class Grafts:
    """Validation losses of the held-out organisms, in nats."""

    nothing: np.ndarray  # [host, 1, 1]
    elite: np.ndarray  # [host, elite, 1]
    random: np.ndarray  # [host, elite, draw]


@pytest.fixture(scope="module")
def grafts() -> Grafts:
    spec = WorldSpec(CONFIG.model_dump(mode="json", by_alias=True))
    spec = replace(spec, interface=calibration_jobs.interface(build(spec))[1])
    world = build(spec)
    states = {number: calibration_jobs.reference(world, number)[1] for number in HOSTS + GUESTS + HELD_OUT}
    world = build(replace(spec, hosts=tuple(states[number] for number in HOSTS)))
    elites = [best_component(world, states[number]) for number in GUESTS]
    nothing, elite, random = [], [], []
    for number in HELD_OUT:
        nothing.append([[loss(world, states[number], None)]])
        elite.append([[loss(world, states[number], genome)] for genome in elites])
        random.append(
            [
                [
                    loss(
                        world,
                        states[number],
                        norm_matched(genome, np.random.default_rng([draw, index, -number])),
                    )
                    for draw in range(DRAWS)
                ]
                for index, genome in enumerate(elites)
            ]
        )
    return Grafts(np.array(nothing), np.array(elite), np.array(random))


def best_component(world: World, state: bytes) -> Genome:
    """The component that the reference hosts value most."""
    organism = decode_state(world, state).organism
    values = calibration_jobs.assays(world, CALIBRATED, [state])[0].worth
    slots = [slot for slot, _ in organism.pool.alive()]
    return organism.pool.genome(slots[int(np.argmax([value.mean for value in values]))])


def loss(world: World, state: bytes, genome: Genome | None) -> float:
    """Validation loss of a trained organism with half its slots emptied and one of them filled again."""
    organism = decode_state(world, state).organism
    for slot in emptied(organism, 0.5):
        organism.pool.retire(slot)
    if genome is not None:
        identity = ComponentId(0, 1, slot)
        organism.pool.graft(slot, genome, Occupant(identity, (), identity, genome.genes))
    return evaluate(world, organism, world.validation)[0]


@pytest.mark.long
def test_an_elite_helps_and_a_norm_matched_random_component_does_harm(grafts):
    elite, nothing, random = grafts.elite.mean(), grafts.nothing.mean(), grafts.random.mean()
    assert elite < nothing - 0.1
    assert random > nothing + 0.005


@pytest.mark.long
def test_the_order_holds_in_every_organism_and_for_every_elite(grafts):
    assert (grafts.elite < grafts.nothing).all()
    assert (grafts.elite < grafts.random).all()
    assert (grafts.nothing[:, 0] < grafts.random.mean(-1)).mean() > 0.9  # a random one may help by chance


@pytest.mark.long
def test_what_is_random_differs_and_is_not_merely_large(grafts):
    assert len(np.unique(grafts.random)) == grafts.random.size
    assert (grafts.random - grafts.nothing).max() < (grafts.nothing - grafts.elite).max()
