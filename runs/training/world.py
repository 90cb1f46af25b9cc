"""The world that jobs read, and its specification: configuration, data, species, interface and reference hosts.

A `WorldSpec` holds plain values and bytes, so that it can be shipped to any worker; `runs.training.build` makes the
same world of it everywhere.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from organisms.species import Organism, Species
from organisms.task import Task
from runs.config.schema import Config


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """What a world is made of; the later fields are filled in by calibration."""

    config: dict[str, Any]  # the whole configuration
    corpus: bytes | None = None
    data: str | None = None  # digest that the task must have; None: it is not checked
    interface: bytes | None = None
    hosts: tuple[bytes, ...] = ()  # encoded states
    measures: tuple[str, ...] | None = None  # that are taken; None: those of the configuration


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
    measures: tuple[str, ...]  # that are taken, in their order
    task: Task
    species: Species
    device: torch.device
    train: Examples  # without those of trials
    trial: Examples  # training examples on which births are tried, and which no batch uses
    probe: Examples
    validation: Examples
    test: Examples
    interface: dict[str, Tensor]  # empty before calibration
    host_organisms: tuple[Organism, ...]  # with free places for a graft
    hosts: tuple[Any, ...]  # the same, frozen on the probe split
    heat: Examples  # the part of the probe split on which children race; all of it where they do not
    heat_hosts: tuple[Any, ...]  # the reference organisms, frozen on that part
