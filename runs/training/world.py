"""The world that trainers work in: configuration, data, species, interface and reference hosts.

A `WorldSpec` is plain bytes, so that it can be shipped to any worker and gives the same world there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archive_store.encoding import decode, encode
from organisms.memory import Trace
from organisms.nn import check_interface
from organisms.pool import Occupant
from organisms.species import CONTRACT, FAMILIES, Organism, Species
from organisms.task import Split, Task
from qd.canonical import number
from qd.records import component_id
from runs import tasks
from runs.config.import_path import imported
from runs.config.schema import Config
from runs.errors import RAISED, ConfigError, PlasmodiaError, RunError, told
from runs.readable import readable


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """What a world is made of; the later fields are filled in by calibration."""

    config: dict[str, Any]  # the whole configuration
    corpus: bytes | None = None
    data: str | None = None  # digest of the task, which every world must have; None asks for none
    interface: bytes | None = None
    hosts: tuple[bytes, ...] = ()  # encoded states


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """A split on the device."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Everything that a trainer's jobs read and never change."""

    config: Config
    task: Task
    species: Species
    device: torch.device
    train: Examples
    probe: Examples
    validation: Examples
    test: Examples
    interface: dict[str, Tensor]  # empty before calibration
    hosts: tuple[Any, ...]


def build(spec: WorldSpec) -> World:
    """Build the world of a specification on this process's device.

    Raises
    ------
    PlasmodiaError
        If a user's task or family cannot be built, or gives other data than it first gave.
    """
    config = Config.model_validate(spec.config)
    task = tasks.load(config.task, spec.corpus)
    if spec.data is not None and task.digest != spec.data:
        raise RunError(
            f"the task {config.task.name!r} gives other data each time (digest {spec.data[:12]}, then "
            f"{task.digest[:12]}); draw them from a generator with a fixed seed"
        )
    family = family_of(config, task)
    device = torch.device(config.execution.device)

    def examples(split: Split) -> Examples:
        inputs = torch.from_numpy(np.ascontiguousarray(split.inputs))
        if task.tokens == "discrete":
            inputs = inputs.long()
        return Examples(inputs.to(device), torch.from_numpy(np.ascontiguousarray(split.targets)).to(device))

    world = World(
        config=config,
        task=task,
        species=family,
        device=device,
        train=examples(task.train),
        probe=examples(task.probe),
        validation=examples(task.validation),
        test=examples(task.test),
        interface={} if spec.interface is None else decode_interface(spec.interface, device),
        hosts=(),
    )
    if spec.interface is not None:
        with readable("the interface"):
            check_interface(world.interface, family.interface(torch.Generator().manual_seed(0)))
    return replace(world, hosts=tuple(_host(world, data) for data in spec.hosts))


def family_of(config: Config, task: Task) -> Species:
    """Build the configured family of components for a task.

    Raises
    ------
    ConfigError
        If a user's family raises or is none.
    """
    kind = config.organism.kind
    try:
        family: Species = imported(FAMILIES.get(kind, kind), "organism.kind")(task, config.organism)
    except PlasmodiaError:
        raise
    except RAISED as error:
        raise ConfigError(f"organism.kind {kind!r} raised {told(error)}") from error
    missing = [name for name in CONTRACT if not hasattr(family, name)]
    if missing:
        raise ConfigError(
            f"organism.kind {kind!r} is no family: it has no {', '.join(missing)}; see organisms.species.Species"
        )
    return family


def encode_interface(interface: Mapping[str, Tensor]) -> bytes:
    """Encode the frozen interface."""
    return encode({name: tensor.detach().cpu().numpy() for name, tensor in interface.items()}, "interface")


def decode_interface(data: bytes, device: torch.device) -> dict[str, Tensor]:
    """Read what `encode_interface` wrote."""
    return {name: torch.from_numpy(array).to(device) for name, array in decode(data)[0].items()}


@dataclass(slots=True, eq=False)
class Individual:
    """An organism in the middle of its life: its network, how far it is and what it remembers of its loss.

    `rate_factor` scales the learning rate: 1 but for quarantines, each of which halves it.
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


def _host(world: World, state: bytes) -> Any:
    """Freeze a trained organism with most of its slots emptied: a host needs room for a graft to matter.

    In a full host a further component has next to nothing left to add, and what it adds says little about
    other hosts.
    """
    organism = decode_state(world, state).organism
    for slot in emptied(organism, world.config.calibration.host_share):
        organism.pool.retire(slot)
    return world.species.host(organism, world.probe.inputs, world.probe.targets)


def emptied(organism: Organism, kept: float) -> Sequence[int]:
    """Name the slots to be emptied in a host: all but the first `kept` share (at least one) of each layer."""
    pool = organism.pool
    slots = []
    for layer in range(pool.depth):
        living = [slot for slot, _ in pool.alive() if pool.layer(slot) == layer]
        slots += living[max(1, math.ceil(kept * len(living))) :]
    return slots
