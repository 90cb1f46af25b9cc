"""Made-up tasks of odd sizes and of every kind, and organisms of every family on them."""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

from organisms.experts.species import ExpertOptions
from organisms.nn import new_interface
from organisms.pool import Occupant
from organisms.pseudopods.species import PseudopodOptions
from organisms.species import FAMILIES, Organism, Species
from organisms.task import Split, Task
from qd.genes import random_genes
from qd.records import Birth, ComponentId, Death, Decision
from runs import trainer
from runs.config import Config
from runs.world import World, WorldSpec, build
from tests import naive_pseudopods
from tests.organisms.experts import naive_experts

LENGTH, FEATURES, OUTPUTS = 7, 3, 5
KINDS = (
    ("class", "continuous", False),
    ("value", "continuous", False),
    ("token", "discrete", True),
    ("class", "discrete", True),
    ("sequence", "continuous", True),
)  # kind, tokens, causal
NAMES = [f"{kind}-{tokens}" for kind, tokens, _ in KINDS]


@dataclass(frozen=True)
class Defined:
    """What tests know of a family; with it come those of `tests/organisms` that every family has to pass.

    `definition` says in float64, part by part (`naive_interface.parts`), what organisms compute: `outputs` of
    (organism, parts, inputs, gates), and `training_losses` of (organism, parts, inputs, targets, gates).
    """

    options: Callable[..., Any]
    largest: Mapping[str, int]  # options that bound genes
    definition: ModuleType
    variants: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # options by which it changes


DEFINED: Mapping[str, Defined] = {
    "pseudopods": Defined(PseudopodOptions, {"max_rank": 4, "max_width": 6}, naive_pseudopods),
    "experts": Defined(
        *(ExpertOptions, {"max_rank": 4, "max_hidden": 7}, naive_experts),
        variants={"one each": {"experts_per_token": 1, "balance": 3.0}, "all": {"experts_per_token": 5}},
    ),
}


def small_task(kind="class", tokens="continuous", causal=False, examples=11, places=None) -> Task:
    """Random examples on seven tokens that lie in a plane at no regular distances, or on tokens at these places."""
    rng = np.random.default_rng(3)
    length = LENGTH if places is None else len(places)

    def split() -> Split:
        if tokens == "discrete":
            inputs = rng.integers(0, FEATURES, (examples, length))
        else:
            inputs = rng.normal(size=(examples, length, FEATURES)).astype(np.float32)
        shape = (examples, length) if kind in ("token", "sequence") else (examples,)
        classes = rng.integers(0, OUTPUTS, shape)
        values = rng.normal(size=(*shape, OUTPUTS)).astype(np.float32)
        return Split(inputs, values if kind in ("value", "sequence") else classes)

    places = rng.uniform(0, 5, size=(LENGTH, 2)) if places is None else places
    splits = {name: split() for name in ("train", "probe", "validation", "test")}
    return Task(
        "small",
        kind,
        **splits,
        tokens=tokens,
        features=FEATURES,
        outputs=OUTPUTS,
        positions=places,
        causal=causal,
    )


def small_species(task: Task, family: str = "pseudopods", **options) -> Species:
    sizes = {"dim": 9, "depth": 1, "capacity": 5} | DEFINED[family].largest | options
    return pkgutil.resolve_name(FAMILIES[family])(task, DEFINED[family].options(**sizes))


def small_interface(task: Task, dim: int = 9) -> dict[str, torch.Tensor]:
    """What every family's interface has."""
    drawn = new_interface(task, dim, torch.Generator().manual_seed(5))
    return drawn | {"bias": torch.linspace(-1, 1, task.outputs)}


def interface_of(family: Species) -> dict[str, torch.Tensor]:
    """What this family's has."""
    drawn = family.interface(torch.Generator().manual_seed(5))
    return dict(drawn) | {"bias": torch.linspace(-1, 1, family.task.outputs)}


def populate(family: Species, organism: Organism, slots: Sequence[int], seed: int = 0) -> None:
    """Graft random components of random genes, large enough that they matter, into these slots."""
    for slot in slots:
        rng = np.random.default_rng([seed, slot])
        identity = ComponentId(seed, 0, slot)
        genome = family.random_genome(organism.pool.layer(slot), random_genes(family.genes, rng), rng)
        for name in genome.arrays:
            genome.arrays[name][...] *= 2
        organism.pool.graft(slot, genome, Occupant(identity, (), identity, genome.genes))


def small_organism(family: Species, slots: Sequence[int] = (0, 2, 3), seed: int = 0) -> Organism:
    organism = family.organism(interface_of(family))
    populate(family, organism, slots, seed)
    return organism


def examples_of(task: Task, name: str = "probe") -> tuple[torch.Tensor, torch.Tensor]:
    split = getattr(task, name)
    return torch.from_numpy(split.inputs), torch.from_numpy(split.targets)


def small_config(**sections) -> Config:
    """A digits run small enough that a round takes a few hundredths of a second."""
    values = {
        "rounds": 3,
        "task": {"name": "digits", "examples": 200},
        "organism": {"dim": 12, "capacity": 4, "initial": 3, "max_rank": 4, "max_width": 4, "max_hidden": 7},
        "training": {"steps_per_round": 3, "batch": 16},
        "calibration": {"steps": 6, "organisms": 4, "checkpoints": [0.5, 1.0]},
        "lifecycle": {"min_alive": 1},
        "execution": {"executor": "inline"},
    }
    for name, value in sections.items():
        values[name] = values.get(name, {}) | value if isinstance(value, dict) else value
    return Config.model_validate(values)


def small_world(config: Config | None = None, **parts) -> World:
    return build(WorldSpec((config or small_config()).model_dump(mode="json", by_alias=True), **parts))


def calibrated_spec(family: str = "pseudopods") -> WorldSpec:
    """A small digits world with an interface and hosts that have hardly been trained."""
    return _calibrated(family)[0]


def calibrated_world(family: str = "pseudopods") -> World:
    """The world of that specification; nobody may change it."""
    return _calibrated(family)[1]


@cache
def _calibrated(family: str) -> tuple[WorldSpec, World]:
    config = small_config(organism={"kind": family})
    spec = WorldSpec(config.model_dump(mode="json", by_alias=True))
    spec = replace(spec, interface=trainer.interface(build(spec))[1])
    world = build(spec)
    spec = replace(spec, hosts=tuple(trainer.reference(world, number)[1] for number in (-2, -3, -4)))
    return spec, build(spec)


def order(organism=0, round=1, births=(), deaths=(), reseed=False) -> Decision:
    """A decision with these births and deaths and nothing else of interest."""
    return Decision(organism, round, 0, "full", 0.3, 0.5, None, tuple(births), tuple(deaths), reseed)


def birth(slot, operator="bootstrap", parents=(), genomes=(), lineage=None, sigma=0.1, happens=True) -> Birth:
    return Birth(
        slot,
        "archive",
        operator,
        tuple(parents),
        tuple(genomes),
        lineage,
        0.5,
        0.4,
        sigma,
        1.0,
        0.0,
        f"birth:0:{slot}:x",
        happens,
    )


def death(component, happens=True) -> Death:
    return Death(component, -1.0, 0.0, 0.9, 0.1, "fitness", happens)
