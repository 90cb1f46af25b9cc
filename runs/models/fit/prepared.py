"""What a training needs from outside: its data, the device, and the fingerprint of code and machine."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from organisms.task import Task
from runs import tasks
from runs.config.import_path import imported
from runs.errors import ConfigError
from runs.machine.fingerprint import fingerprint
from runs.machine.imports import check_named, with_imports
from runs.models.config import TrainConfig
from runs.models.signature import Signature


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration and what it names.

    Parameters
    ----------
    config
        Of the training.
    task
        With its data.
    signature
        Of the task.
    device
        Where it is trained.
    fingerprint
        Of the code and the machine.
    """

    config: TrainConfig
    task: Task
    signature: Signature
    device: torch.device
    fingerprint: Mapping[str, Any]


def prepare(config: TrainConfig, rank: int = 0, size: int = 1) -> Prepared:
    """Read the data, import the user's own code, find the device and take the fingerprint.

    Parameters
    ----------
    config
        Of the training.
    rank, size
        Of this process among those that train; on CUDA each has a device of its own.

    Raises
    ------
    ConfigError
        If any of it cannot be used.
    """
    before = frozenset(sys.modules)
    device = device_of(config.device, rank, size)
    for setting, path in users_own(config):
        imported(path, setting)
    task = _task(config)
    modules = with_imports(path.partition(":")[0] for _, path in users_own(config))
    check_named(modules, before)
    kind = "cuda" if device.type == "cuda" else "cpu"
    return Prepared(config, task, Signature.of(task), device, fingerprint(modules, kind))


def _task(config: TrainConfig) -> Task:
    try:
        return tasks.load(config.data, tasks.corpus(config.data))
    except ConfigError as error:  # which calls the section as a run's configuration does
        raise ConfigError(re.sub(r"\btask\.(?=[a-z]+\b)", "data.", str(error))) from error


def users_own(config: TrainConfig) -> list[tuple[str, str]]:
    """Return setting and import path of the user's own code: task, architecture and router, where they are given so."""
    named = [("data.name", config.data.name), ("model.kind", config.model.kind)]
    if config.model.kind == "experts":
        router = config.model.experts.block.moe.router
        named.append(("model.experts.block.moe.router.router_type", router.router_type))
    return [(setting, path) for setting, path in named if ":" in path]


def device_of(asked: str, rank: int = 0, size: int = 1) -> torch.device:
    """Return the device of one of several processes.

    Parameters
    ----------
    asked
        auto, cpu, cuda or mps.
    rank, size
        Which process, and how many there are.

    Raises
    ------
    ConfigError
        If torch sees no such device here, or too few of them.
    """
    there = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if asked == "auto":
        asked = next((name for name, count in there.items() if count >= size), "cpu")
    elif asked != "cpu" and there[asked] < size:
        raise ConfigError(
            f"device is {asked} for {size} {'process' if size == 1 else 'processes'}, but torch sees {there[asked]} "
            f"such {'device' if there[asked] == 1 else 'devices'} here; set device=cpu or auto, or another --nproc"
        )
    return torch.device(asked, rank) if asked == "cuda" else torch.device(asked)
