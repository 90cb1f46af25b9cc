"""The measures of a census: those of the family's that the configuration names, and a user's."""

import numpy as np
import torch
from torch import Tensor

from organisms.arrays import numeric
from organisms.species import Organism, Probe
from qd.measures import MEASURES
from runs.config.import_path import imported
from runs.errors import RunError
from runs.training.world import Examples, World


def measured(world: World, organism: Organism, probe: Probe, examples: Examples) -> Tensor:
    """Return the raw measures of every living slot in the order of the configuration, float64 [n, p].

    A measure given by import path is a function ``(organism, inputs, targets) -> n numbers``, one for each
    living slot in order.

    Parameters
    ----------
    world
        Names the p measures, in its configuration.
    organism
        Passed on to the user's measures.
    probe
        What the family measured of the same organism and examples, of which columns are taken by name.
    examples
        The probe split, passed on to the user's measures.

    Raises
    ------
    RunError
        If a user's measure does not give n numbers, or no numbers at all.
    """
    return torch.stack([_column(name, organism, probe, examples) for name in world.config.measures], dim=-1)


def _column(name: str, organism: Organism, probe: Probe, examples: Examples) -> Tensor:
    if name in MEASURES:
        return probe.measures[:, MEASURES.index(name)]
    given = imported(name, "measures")(organism, examples.inputs, examples.targets)
    wanted = f"measure {name} must give {len(probe.slots)} numbers, one for each living slot"
    try:
        values = torch.from_numpy(numeric(f"measure {name}", given).astype(np.float64))
    except ValueError as error:
        raise RunError(str(error)) from error
    if values.shape != (len(probe.slots),):
        raise RunError(f"{wanted}; it gave shape {tuple(values.shape)}")
    return values.to(probe.measures.device)
