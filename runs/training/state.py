"""The state of an organism between two rounds, and the interface: how they are encoded as bytes and read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor

from archive_store.encoding import decode, encode
from organisms.memory import Trace
from organisms.pool import Occupant
from organisms.species import Organism
from qd.canonical import number
from qd.records import component_id
from runs.errors import readable
from runs.training.world import World


def encode_interface(interface: Mapping[str, Tensor]) -> bytes:
    """Encode the frozen interface."""
    return encode({name: tensor.detach().cpu().numpy() for name, tensor in interface.items()}, "interface")


def decode_interface(data: bytes, device: torch.device) -> dict[str, Tensor]:
    """Read what `encode_interface` wrote."""
    return {name: torch.from_numpy(array).to(device) for name, array in decode(data)[0].items()}


@dataclass(slots=True, eq=False)
class Individual:
    """An organism between two rounds: its network, how far it is trained, and the moving average of its loss.

    `rate_factor` scales the learning rate: it starts at 1, and each quarantine halves it.
    """

    number: int
    organism: Organism
    round: int
    step: int
    trace: Trace
    first_loss: float | None
    rate_factor: float = 1.0
    quarantines: int = 0  # in a row, up to now


def encode_state(individual: Individual) -> bytes:
    """Encode everything that the next round of an organism depends on."""
    pool = individual.organism.pool
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in pool.tensors().items()}
    return encode(
        tensors,
        {
            "organism": individual.number,
            "round": individual.round,
            "step": individual.step,
            "loss_ema": individual.trace.recall(),
            "first_loss": individual.first_loss,
            "rate_factor": individual.rate_factor,
            "quarantines": individual.quarantines,
            "occupants": pool.occupants,
        },
    )


def decode_state(world: World, data: bytes) -> Individual:
    """Read what `encode_state` wrote into fresh, aligned memory.

    Raises
    ------
    EncodingError
        If the bytes are not an encoding.
    RunError
        If they encode anything but a state of an organism of this world.
    """
    organism = world.species.organism(world.interface)
    with readable("a state"):
        individual = _decoded(world, organism, data)
        if encode_state(individual) != data:
            raise ValueError("it holds names or values that are not written here")
    return individual


def _decoded(world: World, organism: Organism, data: bytes) -> Individual:
    arrays, meta = decode(data)
    organism.pool.load(
        {name: torch.from_numpy(array) for name, array in arrays.items()},
        [_occupant(value) for value in meta["occupants"]],
    )
    return Individual(
        number=index(meta["organism"]),
        organism=organism,
        round=index(meta["round"]),
        step=index(meta["step"]),
        trace=Trace(world.config.training.ema, _optional(meta["loss_ema"])),
        first_loss=_optional(meta["first_loss"]),
        rate_factor=number(meta["rate_factor"]),
        quarantines=index(meta["quarantines"]),
    )


def _occupant(value: Mapping[str, Any] | None) -> Occupant | None:
    if value is None:
        return None
    return Occupant(
        component=component_id(value["component"]),
        parents=tuple(component_id(parent) for parent in value["parents"]),
        lineage=component_id(value["lineage"]),
        genes=tuple((name, number(gene)) for name, gene in value["genes"]),
    )


def _optional(value: Any) -> float | None:
    return None if value is None else number(value)
