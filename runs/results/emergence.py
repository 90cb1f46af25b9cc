"""What the parts of a run's best network are alone, on average and together, and what one dense network is instead.

The question is that of the documents of GeoFractal Router, whose towers are near chance alone and good together.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.emergence import Emergence
from analysis.pictures import emerged
from analysis.rendering import NothingToDraw
from archive_store.reading import Run
from runs.results import pictured
from runs.results.best import organism_of, world_of

if TYPE_CHECKING:
    import torch

    from organisms.species import Organism
    from organisms.task import Task
    from runs.training.world import World

DENSE_GENES = {"activation": 0, "attention": 1, "expansion": 2, "stages": 2}


def picture(run: Run, figure: Any, own_code: bool = False) -> None:
    """Draw into a figure what `emergence` finds; errors are those of `emergence`.

    Parameters
    ----------
    run
        The run.
    figure
        A matplotlib figure.
    own_code
        Whether a task and a family that are given by import path may be imported.
    """
    emerged(emergence(run, own_code), run, figure)


def emergence(run: Run, own_code: bool = False) -> Emergence:
    """Score the parts of a run's best network on the test split: each alone, their average, all, and a dense network.

    The network is that of the best validation score at the newest checkpoint. Alone a part is with the gates of all
    others at 0, between the run's own stem and readout. The average is that of their outputs. The dense network is
    trained here, as `dense` says.

    Parameters
    ----------
    run
        The run.
    own_code
        Whether a task and a family that are given by import path may be imported.

    Raises
    ------
    NothingToDraw
        If code of the user's own would have to be imported, no state of an organism is kept yet, or nothing lives
        in it.
    RunError
        If the run's data or settings are not what they were, or what it keeps is of another version.
    StoreError
        If its files are damaged.
    """
    config = pictured.settings_of(run)
    if (named := pictured.own_code(config)) and not own_code:  # the run may be somebody else's
        raise NothingToDraw(
            f"emergence of {run.directory.path} needs code of its own ({named}), which plot does not import"
        )
    state = pictured.newest_state(run)
    world = world_of(run, config)
    import torch

    from organisms.nn import score

    organism, targets = organism_of(run, world, state), world.test.targets
    if not any(organism.pool.alive()):
        raise NothingToDraw(
            f"{run.directory.path} has no living part in organism {state.organism} at its last checkpoint"
        )
    alone, total = {}, torch.zeros(())
    for slot, _ in organism.pool.alive():
        gates = torch.zeros(organism.pool.size, device=world.device)
        gates[slot] = 1.0
        given = answers(world, organism, gates)
        alone[slot], total = score(world.task, given, targets), total + given
    parameters = int(organism.stats()["parameters"])
    rival = dense(world, state.organism, state.round, parameters)
    return Emergence(
        organism=state.organism,
        round=state.round,
        score_name=world.task.score_name,
        alone=alone,
        average=score(world.task, total / len(alone), targets),
        together=score(world.task, answers(world, organism), targets),
        parameters=parameters,
        dense=score(world.task, answers(world, rival), targets),
        dense_parameters=int(rival.stats()["parameters"]),
        constant=constant(world.task),
    )


def answers(world: "World", organism: "Organism", gates: "torch.Tensor | None" = None) -> "torch.Tensor":
    """Return the outputs of an organism for the test split.

    Parameters
    ----------
    world
        Has the split.
    organism
        The organism.
    gates
        Of its slots; None: all are 1.
    """
    import torch

    with torch.no_grad():
        return torch.cat([organism(part, gates) for part in world.test.inputs.split(256)])


def dense(world: "World", number: int, rounds: int, parameters: int) -> "Organism":
    """Train one dense network of as many parameters as a population of parts has, as an organism of the run is trained.

    It has one wide tower in each layer (`organisms.towers.species`: attention and two feed-forward blocks), between the
    same frozen stem and readout, and sees the same batches at the same learning rates. Nothing is born or dies.

    Parameters
    ----------
    world
        Of the run.
    number
        The organism whose batches it sees.
    rounds
        For how many rounds it is trained.
    parameters
        How many it is to have, as nearly as whole units allow.
    """
    from organisms.memory import Trace
    from organisms.options import Sizes
    from organisms.pool import Occupant
    from organisms.towers.species import TowerOptions, Towers
    from qd.seeding import generator
    from runs.training.optimise import batches, learning_rate, train
    from runs.training.state import Individual

    settings = world.config
    width = dense_width(settings.organism.dim, parameters / settings.organism.depth)
    sizes = Sizes(settings.organism.dim, settings.organism.depth, capacity=1)
    species = Towers(world.task, sizes, TowerOptions(fusion="sum", max_width=width))
    organism = species.organism(world.interface)
    genes = tuple(sorted((name, float(value)) for name, value in (DENSE_GENES | {"width": width}).items()))
    for layer in range(sizes.depth):
        stream = generator(settings.seed, 0, f"dense:{layer}")
        organism.pool.graft(layer, species.random_genome(layer, genes, stream), Occupant.guest(genes))
    individual = Individual(number, organism, 0, 0, Trace(settings.training.ema), None)
    steps = settings.training.steps_per_round
    rate = learning_rate(world, steps * settings.rounds)
    for round in range(1, rounds + 1):
        train(world, individual, batches(world, number, round, steps), rate)
    return organism


def dense_width(dim: int, parameters: float) -> int:
    """Return the width of a tower with so many parameters: the nearest solution of ``12 W^2 + 2 D W = parameters``."""
    stages = 2 * DENSE_GENES["stages"] * DENSE_GENES["expansion"] + 4 * DENSE_GENES["attention"]
    return max(1, round((math.sqrt(dim**2 + stages * parameters) - dim) / stages))


def constant(task: "Task") -> float:
    """Return the score of the best constant answer: 0 for R2, else the share of the most frequent class in training."""
    if task.regression:
        return 0.0
    most = np.bincount(np.ravel(task.train.targets)).argmax()
    return float(np.mean(np.asarray(task.test.targets) == most))
