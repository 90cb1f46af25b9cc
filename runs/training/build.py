"""Building a world from its specification: task, family, splits on the device, interface and frozen hosts."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from organisms.families import FAMILIES
from organisms.nn import check_interface
from organisms.options import UnusableOption
from organisms.species import CONTRACT, Organism, Species
from organisms.task import Split, Task
from qd.genes import random_genes
from qd.seeding import generator
from runs import tasks
from runs.config.import_path import imported
from runs.config.model import configured
from runs.config.schema import Config
from runs.errors import RAISED, ConfigError, PlasmodiaError, RunError, readable, told
from runs.training.state import decode_interface, decode_state
from runs.training.world import Examples, World, WorldSpec

LEAST_TRAINED = 8  # training examples for each that is kept for trials


def build(spec: WorldSpec) -> World:
    """Build the world of a specification on this process's device.

    Raises
    ------
    PlasmodiaError
        If a user's task or family cannot be built, or gives other data than it first gave.
    """
    config = configured(spec.config)
    task = tasks.load(config.task, spec.corpus)
    if spec.data is not None and task.digest != spec.data:
        raise RunError(
            f"the task {config.task.name!r} gives other data each time (digest {spec.data[:12]}, then "
            f"{task.digest[:12]}); draw them from a generator with a fixed seed"
        )
    family = family_of(config, task)
    device = torch.device(config.execution.device)

    def examples(split: Split) -> Examples:
        inputs, targets = (_tensor(array).to(device) for array in (split.inputs, split.targets))
        return Examples(
            inputs.long() if task.tokens == "discrete" else inputs,
            targets if task.regression else targets.long(),
        )

    training = examples(task.train)
    tried = set_aside(config, len(training))
    world = World(
        config=config,
        measures=spec.measures or config.measures,
        task=task,
        species=family,
        device=device,
        train=Examples(training.inputs[~tried], training.targets[~tried]),
        trial=Examples(training.inputs[tried], training.targets[tried]),
        probe=examples(task.probe),
        validation=examples(task.validation),
        test=examples(task.test),
        interface={} if spec.interface is None else decode_interface(spec.interface, device),
        host_organisms=(),
        hosts=(),
        heat=examples(task.probe),
        heat_hosts=(),
    )
    if spec.interface is not None:
        with readable("the interface"):
            check_interface(world.interface, family.interface(torch.Generator().manual_seed(0)))
    organisms = tuple(reference_organism(world, data) for data in spec.hosts)
    hosts, heat = frozen(world, organisms, world.probe), _heat(world.probe, config.emitters.race)
    races = len(heat) < len(world.probe) and config.emitters.children > 0
    heat_hosts = frozen(world, organisms, heat) if races else hosts
    return replace(world, host_organisms=organisms, hosts=hosts, heat=heat, heat_hosts=heat_hosts)


def _heat(probe: Examples, share: float) -> Examples:
    """Return every n-th example, about this share of them; all where that would leave next to none."""
    every = round(1 / share)
    return Examples(probe.inputs[::every], probe.targets[::every]) if len(probe) >= 2 * every else probe


def frozen(world: World, organisms: Sequence[Organism], examples: Examples) -> tuple[Any, ...]:
    """Return organisms as hosts of grafts that are scored on some examples.

    Parameters
    ----------
    world
        Its family freezes them.
    organisms
        With free places.
    examples
        Of which the hosts' streams are kept.
    """
    return tuple(world.species.host(each, examples.inputs, examples.targets) for each in organisms)


def set_aside(config: Config, examples: int) -> torch.Tensor:
    """Return which training examples are kept for the trials of births, bool [examples]: at most an eighth of them.

    Parameters
    ----------
    config
        Says how many, and the seed that draws them.
    examples
        Number of training examples.
    """
    count = min(config.lifecycle.trial, max(1, examples // LEAST_TRAINED), examples - 1)
    aside = np.zeros(examples, dtype=bool)
    aside[generator(config.seed, 0, "trial").permutation(examples)[:count]] = True
    return torch.from_numpy(aside).to(config.execution.device)


def family_of(config: Config, task: Task) -> Species:
    """Build the configured family of components for a task.

    Raises
    ------
    ConfigError
        If a user's family raises or is none, or its options are not valid.
    """
    kind = config.organism.kind
    made = imported(FAMILIES[kind].species if kind in FAMILIES else kind, "organism.kind")
    _check_contract(kind, made, ("family", "options"))
    try:
        options = made.options.model_validate(config.options.model_dump())
        _check_task(kind, options.refusal(task), task)
        family: Species = made(task, config.organism.sizes, options)
    except PlasmodiaError:
        raise
    except UnusableOption as error:
        raise ConfigError(f"organism.{config.family}.{error.key} {error.sentence}") from error
    except RAISED as error:
        raise ConfigError(f"organism.kind {kind!r} raised {told(error)}") from error
    _check_contract(kind, family, CONTRACT)
    _check_measures(config, family)
    _check_objective(config, family)
    _check_outputs(kind, family)
    _check_loss(config, task)
    return family


def _check_task(kind: str, refusal: str | None, task: Task) -> None:
    if refusal is not None:
        raise ConfigError(f"the task {task.name!r} does not go with organism.kind {kind}: {refusal}")


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor; one that cannot be written is copied, because torch warns of it otherwise."""
    return torch.from_numpy(np.require(array, requirements=("C_CONTIGUOUS", "WRITEABLE")))


def _check_measures(config: Config, family: Species) -> None:
    missing = [name for name in config.measures if ":" not in name and name not in family.measures]
    if missing:
        deeper = "; effect_depth needs two layers (organism.depth)" if "effect_depth" in missing else ""
        raise ConfigError(
            f"measures: {', '.join(missing)} cannot be taken of the family {config.organism.kind} here{deeper}; "
            f"it offers {', '.join(family.measures)}"
        )


def _check_objective(config: Config, family: Species) -> None:
    kind, offered = config.objective.kind, ("assay", *getattr(family, "worths", ()))
    if kind not in offered:
        raise ConfigError(
            f"objective.kind: {kind} cannot be taken of the family {config.organism.kind}; it offers "
            f"{', '.join(offered)}"
        )


def _check_outputs(kind: str, family: Species) -> None:
    outputs = getattr(family, "outputs", ())
    if not outputs:
        return
    stream = generator(0, 0, "outputs")
    try:
        arrays = family.random_genome(0, random_genes(family.genes, stream), stream).arrays
    except RAISED as error:
        raise ConfigError(f"organism.kind {kind!r} drew no component: {told(error)}") from error
    if isinstance(outputs, str) or not set(outputs) <= set(arrays):
        raise ConfigError(
            f"organism.kind {kind!r}: outputs must be a list of names of its arrays, of {', '.join(sorted(arrays))}, "
            f"not {outputs!r}"
        )


def _check_loss(config: Config, task: Task) -> None:
    if config.training.loss.contrastive and task.kind != "class" and task.length < 2:
        raise ConfigError(
            f"training.loss.contrastive compares the even and the odd tokens of an example, but those of the task "
            f"{task.name!r} have one token; leave it out"
        )


def _check_contract(kind: str, family: object, names: Sequence[str]) -> None:
    missing = [name for name in names if not hasattr(family, name)]
    if missing:
        raise ConfigError(
            f"organism.kind {kind!r} is no family: it has no {', '.join(missing)}; see organisms.species.Species"
        )


def reference_organism(world: World, state: bytes) -> Organism:
    """Return a trained organism with `calibration.host_share` of its components, the others removed.

    In a full host a further component has next to nothing left to add, and what it adds says little about
    other hosts.
    """
    organism = decode_state(world, state).organism
    for slot in emptied(organism, world.config.calibration.host_share):
        organism.pool.retire(slot)
    return organism


def emptied(organism: Organism, kept: float) -> Sequence[int]:
    """Return the slots to be emptied in a host: all but the first `kept` share (at least one) of each layer."""
    pool = organism.pool
    slots = []
    for layer in range(pool.depth):
        living = [slot for slot, _ in pool.alive() if pool.layer(slot) == layer]
        slots += living[max(1, math.ceil(kept * len(living))) :]
    return slots
