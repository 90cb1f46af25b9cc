"""The measures of a census: the family's own five, any of them replaced by a user's."""

import torch
from torch import Tensor

from organisms.species import Organism, Probe
from qd.measures import MEASURES
from runs.config.import_path import imported
from runs.errors import RunError
from runs.training.world import Examples, World


def measured(world: World, organism: Organism, probe: Probe, examples: Examples) -> Tensor:
    """Give the raw measures of every living slot in the order of the configuration, float64 [n, 5].

    A measure given by import path is a function ``(organism, inputs, targets) -> n numbers``, one for each
    living slot in order.

    Raises
    ------
    RunError
        If a user's measure does not give n numbers.
    """
    return torch.stack([_column(name, organism, probe, examples) for name in world.config.measures], dim=-1)


def _column(name: str, organism: Organism, probe: Probe, examples: Examples) -> Tensor:
    if name in MEASURES:
        return probe.measures[:, MEASURES.index(name)]
    values = torch.as_tensor(
        imported(name, "measures")(organism, examples.inputs, examples.targets), dtype=torch.float64
    )
    if values.shape != (len(probe.slots),):
        raise RunError(
            f"measure {name} must give {len(probe.slots)} numbers, one for each living slot; "
            f"it gave shape {tuple(values.shape)}"
        )
    return values.to(probe.measures.device)
