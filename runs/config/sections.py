"""The sections of a configuration: one frozen model each, with a sentence under each key."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from organisms.families import FAMILIES
from organisms.layers.config import Count, NotNegative, Positive, Section
from organisms.options import Sizes
from runs.config.problems import nearest, shown
from runs.config.tables import TASKS

CENTROIDS = ("halton", "kmeans")

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_ADDRESS = re.compile(r"local|auto|ray://[^\s/]+|[^\s/:]+:[0-9]+")


def named(value: str, known: Iterable[str]) -> str:
    """Return a name of a table, or an import path, as it is.

    Raises
    ------
    ValueError
        If it is neither; the message lists the known names and the nearest one.
    """
    if value in known or _IMPORT_PATH.fullmatch(value):
        return value
    names, near = ", ".join(known), nearest(value, known)
    raise ValueError(f"must be {names} or an import path package.module:Name, not {shown(value)}{near}")


class TaskConfig(Section):
    """What the organisms learn."""

    name: Annotated[
        str, Field(description=f"{', '.join(TASKS)}, or the import path package.module:Name of your own.")
    ] = "digits"
    path: str | None = None
    """UTF-8 corpus for the task text (relative to the configuration's file); null: CPython's help topics."""
    length: Annotated[int, Field(ge=2)] | None = None
    """Tokens per example where the task leaves a choice; null: the task's own."""
    examples: Count | None = None
    """Most training examples that are used; null: all."""
    kinds: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Which kinds of signals or trajectories there are; null: all."""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return named(value, TASKS)


class OrganismConfig(Section):
    """The population, and the pool of slots in each organism; a family's own options lie under its name."""

    kind: Annotated[
        str,
        Field(
            description=f"Family of the components: {', '.join(FAMILIES)}, or the import path package.module:Name of "
            "your own."
        ),
    ] = "pseudopods"
    count: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Organisms in the population."""
    dim: Annotated[int, Field(ge=2, le=16_384)] = 64
    """Width of the residual stream."""
    depth: Count = 1
    """Layers; every layer has a pool of its own."""
    capacity: Count = 12
    """Slots per layer; at most 64 over all layers."""
    initial: Count = 8
    """Living slots per layer at the start."""

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return named(value, FAMILIES)

    @property
    def sizes(self) -> Sizes:
        """What a family has to know of this section."""
        return Sizes(self.dim, self.depth, self.capacity)


class TrainingConfig(Section):
    """How the weights of an organism are trained between two censuses."""

    steps_per_round: Count = 25
    """Optimizer steps between two censuses."""
    batch: Count = 64
    """Examples per optimizer step."""
    learning_rate: Positive = 3e-3
    """Step size of Adam."""
    weight_decay: NotNegative = 0.0
    """Decoupled weight decay per step, times the learning rate."""
    final_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the learning rate that is left at the last step, after half a cosine."""
    clip: Positive = 1.0
    """Largest Euclidean norm of the whole gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Share of the old value in the moving average of the training loss, per step."""


class CalibrationConfig(Section):
    """What is fixed before round 0: interface, hosts, ranges, centroids and the validity verdict."""

    steps: Count = 300
    """Optimizer steps of each calibration organism; the default is what the family's interface needs."""
    organisms: Annotated[int, Field(ge=4)] = 8
    """Gene-diverse organisms that are trained and measured."""
    hosts: Annotated[int, Field(ge=3)] = 3
    """Of these, how many become the frozen hosts of the assay."""
    host_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of its components that a host keeps, so that a graft has room to matter; the default is the family's."""
    checkpoints: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1, strict=True)], ...], Field(strict=False, min_length=1)
    ] = (0.05, 0.25, 0.5, 1.0)
    """Shares of the steps at which the organisms are measured, rising."""
    from_run: str | None = Field(default=None, alias="from")
    """A run whose calibration is used instead (relative to the configuration's file)."""

    @field_validator("checkpoints")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(second <= first for first, second in pairwise(value)):
            raise ValueError(f"must rise from each to the next, not {shown(list(value))}")
        return value


class ArchiveConfig(Section):
    """The niches of the behaviour space."""

    cells: Annotated[int, Field(ge=2, le=1000)] = 256
    """Cells of the centroidal Voronoi tessellation."""
    centroids: str = "halton"
    """halton, kmeans (on samples), or a .npy file [cells, measures] (relative to the configuration's file)."""
    qd_offset: float = 0.0
    """Taken from each objective before they are summed to the QD score."""

    @field_validator("centroids")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in CENTROIDS or value.endswith(".npy"):
            return value
        raise ValueError(
            f"must be halton, kmeans or a .npy file, not {shown(value)}{nearest(value, CENTROIDS)}"
        )


class ObjectiveConfig(Section):
    """What the archive compares; the three weights sum to 1."""

    task: Share = 0.7
    """Weight of the assay in the reference hosts."""
    efficiency: Share = 0.2
    """Weight of the counted cost."""
    gradient: Share = 0.1
    """Weight of the gradient's percentile among the organism's components."""
    maturity: Annotated[int, Field(ge=0)] = 2
    """Rounds that a component lives before it competes."""


class AnnealingConfig(Section):
    """The temperature of births, deaths and mutation over the run."""

    kind: Literal["linear", "geometric", "cosine"] = "linear"
    """Shape of the schedule."""
    start: Positive = 0.5
    """Temperature at the first step."""
    floor: NotNegative = 0.01
    """Lowest temperature."""


class LifecycleConfig(Section):
    """When births and deaths may happen, and the guardrails."""

    enabled: bool = True
    """false: nothing is born and nothing dies (a static pool, an arm of experiments); births must be none then."""
    warmup: Share = 0.1
    """First share of the rounds, without births and deaths."""
    gentle: Share = 0.25
    """Share of the rounds until which only births happen."""
    quiet: Share = 0.2
    """Last share of the rounds, without deaths."""
    births_per_round: Annotated[int, Field(ge=0)] = 1
    """Most births considered per organism and round."""
    slow_every: Count = 10
    """Rounds between two culls, and between two checks of validity."""
    min_alive: Count = 4
    """Fewest living slots that a cull leaves in a layer."""
    min_age: Annotated[int, Field(ge=0)] = 3
    """Rounds that a component lives before it can die."""
    floor: float = 0.0
    """Relative fitness (z-score) from which on a component is safe."""
    neighbours: Count = 5
    """Components nearest in behaviour that fitness is compared with."""
    loss_ratio: Positive = 10.0
    """Loss over its moving average beyond which births and deaths stand still."""
    budget_bytes: Count | None = None
    """Most counted bytes per example of an organism's components; null: no budget."""


class VariationConfig(Section):
    """How a newborn differs from its parents."""

    sigma: NotNegative = 0.1
    """Noise at the starting temperature, relative to the RMS of each array."""
    gene_rate: Share = 0.1
    """Chance that a structural gene is drawn anew."""
    line_share: Share = 0.3
    """Share of births from two elites (iso+line); the rest come from one."""
    line_sigma: NotNegative = 0.3
    """Spread along the line between two elites, relative to their distance."""


class ChemotaxisConfig(Section):
    """Which elites become parents."""

    tau: Positive = 0.2
    """Temperature of the choice between cells; small is greedy."""
    window: Count = 5
    """Rounds over which the improvement that stills hunger is taken."""


class ValidityConfig(Section):
    """What an unsound behaviour space does to the run."""

    gate: Literal["robust", "blueprint", "off"] = "robust"
    """robust: stops on a bootstrap interval below 0.5; blueprint: on a point value; off: never on KMO."""


class ExecutionConfig(Section):
    """How the work is done. No digest covers it, and it may differ on resume."""

    executor: Literal["ray", "inline"] = "ray"
    """Trainers in Ray actors, or in the driver's own process."""
    workers: Count | Literal["auto"] = "auto"
    """Trainers at work at the same time; auto: one a core, at most one an organism."""
    address: str = "local"
    """local (a cluster of the run's own), auto (the running one), ray://host:port or host:port."""
    num_gpus: NotNegative = 0.0
    """GPUs per worker; may be a fraction."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the tensors live."""
    order_timeout: Positive = 600.0
    """Seconds after which a worker that has not answered is replaced."""
    checkpoint_every: Count = 5
    """Rounds between the states that a resume can start from."""
    attempts: Count = 3
    """Times that an order is sent before the run stops."""
    audit: Share = 0.0
    """Share of the orders, chosen by a named draw, that a second worker does again and must agree on."""

    @field_validator("address")
    @classmethod
    def _place(cls, value: str) -> str:
        if not _ADDRESS.fullmatch(value):
            raise ValueError(f"must be local, auto, ray://host:port or host:port, not {shown(value)}")
        return value
