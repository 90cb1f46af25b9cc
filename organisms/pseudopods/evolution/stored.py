"""The state of an evolution as plain values and tensors, from which it goes on bit for bit."""

from typing import Any

import numpy as np
import torch

from organisms.pseudopods.evolution.evolution import Evolution
from organisms.pseudopods.evolution.history import FRAMES
from organisms.pseudopods.evolution.population import Occupant, Rising
from qd.archive import Archive
from qd.canonical import number, plain
from qd.fitness import Weights, Yardstick
from qd.measures import Ranges
from qd.records import Candidate, Census, Genome, read

FORMAT = 2


def state_of(evolution: Evolution) -> dict[str, Any]:
    """Return everything that an evolution depends on besides parameters and optimizer, in types that load safely."""
    view, yardstick = evolution.archive.view(), evolution.yardstick
    return {
        "format": FORMAT,
        "config": evolution.config.model_dump(),
        "sizes": plain(evolution.sizes),
        "steps": evolution.steps,
        "moments": evolution.moments.clone(),
        "losses": evolution.losses.clone(),
        "first_loss": evolution.first_loss,
        "loss_ema": evolution.loss_ema,
        "censuses": plain(evolution.censuses),
        "samples": plain(evolution.samples),
        "yardstick": None if yardstick is None else plain(yardstick),
        "elites": plain(view.elites),
        "tries": dict(evolution.tries),
        "genomes": {name: _genome_state(genome) for name, genome in evolution.genomes.items()},
        "occupants": [[slot, plain(who)] for slot, who in sorted(evolution.population.occupants.items())],
        "rising": [
            [slot, each.written.clone(), each.steps]
            for slot, each in sorted(evolution.population.rising.items())
        ],
        "history": {name: [dict(row) for row in evolution.history.rows[name]] for name in FRAMES},
    }


def restore(evolution: Evolution, state: dict[str, Any]) -> None:
    """Take a state over, in place of the evolution's own.

    Parameters
    ----------
    evolution
        Of an encoder of the same sizes, with the same configuration.
    state
        As `state_of` returned it.

    Raises
    ------
    ValueError
        If it is none, or that of another encoder or configuration.
    """
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"state must be what state_dict returned, in format {FORMAT}, but is not")
    own = {"config": evolution.config.model_dump(), "sizes": plain(evolution.sizes)}
    for what, values in own.items():
        differing = [name for name, value in values.items() if state[what].get(name) != value]
        if differing:
            name = differing[0]
            theirs = state[what].get(name)
            raise ValueError(
                f"state must be of the same {what}, but there {name} is {theirs!r}, and here {values[name]!r}"
            )
    device = evolution.device
    evolution.steps = state["steps"]
    for name in ("moments", "losses"):
        setattr(evolution, name, state[name].clone().to(device))
    evolution.first_loss, evolution.loss_ema = state["first_loss"], state["loss_ema"]
    evolution.censuses = [read(Census, value) for value in state["censuses"]]
    evolution.samples = [tuple(number(value) for value in row) for row in state["samples"]]
    evolution.yardstick = None if state["yardstick"] is None else _yardstick(state["yardstick"])
    evolution.archive = Archive(evolution.centroids)
    for elite in state["elites"]:  # one by one: a head that changed may hold several cells
        evolution.archive.commit([read(Candidate, elite)])
    evolution.tries = dict(state["tries"])
    evolution.genomes = {name: _genome(value) for name, value in state["genomes"].items()}
    population = evolution.population
    population.occupants = {slot: read(Occupant, who) for slot, who in state["occupants"]}
    population.rising = {
        slot: Rising(full.clone().to(device), steps) for slot, full, steps in state["rising"]
    }
    evolution.history.rows = {name: [dict(row) for row in state["history"][name]] for name in FRAMES}
    evolution.watch()


def _genome_state(genome: Genome) -> dict[str, Any]:
    arrays = {name: torch.from_numpy(np.array(array)) for name, array in genome.arrays.items()}
    return {"family": genome.family, "depth": genome.depth, "genes": plain(genome.genes), "arrays": arrays}


def _genome(state: dict[str, Any]) -> Genome:
    genes = tuple((name, float(value)) for name, value in state["genes"])
    arrays = {name: np.array(tensor.cpu().numpy()) for name, tensor in state["arrays"].items()}
    return Genome(state["family"], state["depth"], genes, arrays)


def _yardstick(state: dict[str, Any]) -> Yardstick:
    return Yardstick(
        Ranges(tuple(state["ranges"]["low"]), tuple(state["ranges"]["high"])),
        state["reference"],
        state["largest_flops"],
        tuple(state["gradients"]),
        Weights(**state["weights"]),
    )
