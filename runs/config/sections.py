"""The sections of a configuration: one frozen model each, with a sentence under each key."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from organisms.families import FAMILIES
from organisms.layers.config import Count, NotNegative, Positive, Section
from organisms.options import IMPORT_PATH, Sizes
from qd.emitters.kinds import DEFAULT, KINDS
from runs.config.problems import nearest, shown
from runs.config.tables import TASKS
from runs.config.timetable import Timetable

ON_SAMPLES = ("kmeans", "annealed")
CENTROIDS = ("halton", *ON_SAMPLES)

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


def named(value: str, known: Iterable[str]) -> str:
    """Return a name of a table, or an import path, as it is.

    Raises
    ------
    ValueError
        If it is neither; the message lists the known names and the nearest one.
    """
    if value in known or IMPORT_PATH.fullmatch(value):
        return value
    names, near = ", ".join(known), nearest(value, known)
    raise ValueError(f"must be {names} or an import path package.module:Name, not {shown(value)}{near}")


class TaskConfig(Section):
    """What the organisms learn."""

    name: Annotated[
        str, Field(description=f"{', '.join(TASKS)}, or the import path package.module:Name of your own.")
    ] = "digits"
    path: str | None = None
    """File (relative to the configuration's) of table (.csv, .jsonl, .npy, .npz, .parquet), text, tinystories or
    wikitext; null: CPython's help topics for text, what the package datasets loads for the last two."""
    length: Annotated[int, Field(ge=2)] | None = None
    """Tokens per example, or per chunk of a stream, where the task leaves a choice; null: the task's own."""
    examples: Count | None = None
    """Training examples to use at most; null: all."""
    kinds: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Kinds of sequences that the tasks signals and trajectories generate; null: all five."""
    stream: bool = False
    """Read a text as streams of chunks of task.length bytes, of which only one is in sight at a time."""
    chunks: Annotated[int, Field(ge=2)] | None = None
    """Chunks of a stream (recall, or text with task.stream); null: the task's own."""
    truncation: Count | None = None
    """Chunks of a stream over which training lets gradients flow; null: all."""
    target: str | None = None
    """Column that the task table predicts."""
    columns: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Columns that the task table reads, each a token; null: all but the target."""
    predict: Literal["class", "value"] | None = None
    """What the target is; null: texts and up to 20 different whole numbers are classes, other numbers a value."""
    split: int | str = 0
    """Number that draws the splits of a table, or its column that says train, probe, validation or test."""
    missing: Literal["refuse", "fill"] = "refuse"
    """Missing values of a table. fill: a feature of its own says that they are missing."""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return named(value, TASKS)


class OrganismConfig(Section):
    """The population of organisms, and the slots of each; a family's own options lie under the family's name."""

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
    """Layers; each has its own slots."""
    capacity: Count = 12
    """Slots per layer, each empty or with one component; at most 64 over all layers."""
    initial: Count = 8
    """Components per layer at the start."""

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return named(value, FAMILIES)

    @property
    def sizes(self) -> Sizes:
        """What a family has to know of this section."""
        return Sizes(self.dim, self.depth, self.capacity)


class LossConfig(Section):
    """What training minimises: a weighted sum. Weights are not negative, and one at least is above 0."""

    task: NotNegative = 1.0
    """Weight of the task's loss, with what the family adds to it."""
    contrastive: NotNegative = 0.0
    """Weight of the contrastive loss of representations; like are those of a class, else two views of an example."""
    temperature: Positive = 0.1
    """Temperature of the contrastive loss; small ones weight near pairs more."""
    own: dict[str, NotNegative] = Field(default_factory=dict)
    """Weights of terms of your own by import path, {package.module:Name: 0.1}: functions of (organism, inputs, targets,
    gates) that give one number."""

    @field_validator("own")
    @classmethod
    def _paths(cls, value: dict[str, float]) -> dict[str, float]:
        for path in value:
            if not IMPORT_PATH.fullmatch(path):
                raise ValueError(f"must have import paths package.module:Name as keys, not {shown(path)}")
        return value

    @property
    def passes(self) -> int:
        """Forward passes of an optimizer step."""
        return 2 if self.contrastive else 1


class TrainingConfig(Section):
    """How the weights of an organism are trained in a round, which ends with a census of its components."""

    steps_per_round: Count = 25
    """Optimizer steps of each organism in a round."""
    batch: Count = 64
    """Examples per optimizer step."""
    learning_rate: Positive = 3e-3
    """Learning rate of Adam at the first step; it falls along half a cosine."""
    weight_decay: NotNegative = 0.0
    """Decoupled weight decay, as in AdamW: a step shrinks weights by this times the learning rate."""
    final_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Learning rate at the last step, as a share of the first."""
    clip: Positive = 1.0
    """Largest Euclidean norm of the gradient of all parameters together; larger ones are scaled down."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of the exponential moving average of the training loss, per step."""
    loss: LossConfig = LossConfig()


class CalibrationConfig(Section):
    """What is fixed before round 1: interface, hosts of the assay, ranges of measures, centroids, validity verdict."""

    steps: Count = 300
    """Optimizer steps of each calibration organism; the default is the family's."""
    organisms: Annotated[int, Field(ge=4)] = 8
    """Organisms with random structural genes that are trained and measured to find the ranges of the measures."""
    hosts: Annotated[int, Field(ge=3)] = 3
    """How many of these become the frozen hosts into which the assay grafts components."""
    host_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of its components that a host keeps: to a full one a graft adds little. The default is the family's."""
    checkpoints: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1, strict=True)], ...], Field(strict=False, min_length=1)
    ] = (0.05, 0.25, 0.5, 1.0)
    """Shares of the steps, in rising order, after which the organisms are measured."""
    from_run: str | None = Field(default=None, alias="from")
    """Directory of a run whose calibration is used instead (relative to the configuration's file)."""

    @field_validator("checkpoints")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(second <= first for first, second in pairwise(value)):
            raise ValueError(f"must rise from each to the next, not {shown(list(value))}")
        return value


class ArchiveConfig(Section):
    """The cells of the archive (CVT-MAP-Elites)."""

    cells: Annotated[int, Field(ge=2, le=1000)] = 256
    """Cells of the centroidal Voronoi tessellation."""
    centroids: str = "halton"
    """halton; kmeans or annealed (on samples); or a .npy file [cells, measures], relative to the configuration's."""
    rescore_every: Count | None = None
    """Rounds after which all elites are scored again on held-out examples; at the end they are in any case."""
    qd_offset: float = 0.0
    """Subtracted from each elite's objective before they are summed to the QD score."""

    @field_validator("centroids")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in CENTROIDS or value.endswith(".npy"):
            return value
        raise ValueError(
            f"must be halton, kmeans, annealed or a .npy file, not {shown(value)}{nearest(value, CENTROIDS)}"
        )


class ObjectiveConfig(Section):
    """The objective by which elites are compared: a weighted sum, whose three weights sum to 1."""

    kind: Literal["assay", "alignment", "information"] = "assay"
    """What the first term goes by, in the reference hosts. assay: the drop of their loss; alignment: the cosine of what
    a component writes with minus the loss's gradient; information: what it writes tells of the targets, a share."""
    task: Share = 0.7
    """Weight of the first term: how much a component does for the task in the hosts that it is grafted into."""
    efficiency: Share = 0.2
    """Weight of the efficiency: fewer counted FLOPs are better."""
    gradient: Share = 0.1
    """Weight of the gate gradient's percentile among the organism's components."""
    maturity: Annotated[int, Field(ge=0)] = 2
    """Rounds that a component lives before it competes for a cell of the archive."""


class AnnealingConfig(Section):
    """The temperature over the run: of the Metropolis rule for births and deaths, and a factor of mutation's noise."""

    kind: Literal["linear", "geometric", "cosine"] = "linear"
    """Shape of the schedule."""
    start: Positive = 0.5
    """Temperature at the first step."""
    floor: NotNegative = 0.01
    """Lowest temperature."""


class LifecycleConfig(Section):
    """When births and deaths may happen, and their limits."""

    enabled: bool = True
    """false: nothing is born and nothing dies (a static pool, an arm of experiments); births must be none then."""
    warmup: Share = 0.1
    """Share of the rounds at the beginning without births and deaths."""
    gentle: Share = 0.25
    """Share of the rounds at the beginning, warmup included, without deaths."""
    quiet: Share = 0.2
    """Share of the rounds at the end without deaths."""
    births_per_round: Annotated[int, Field(ge=0)] = 1
    """Births considered per organism and round, at most."""
    candidates: Count = 8
    """Candidates of a birth, drawn from different regions: the organism tries each, and the best gain is born."""
    trial: Count = 256
    """Training examples on which births are tried and which no batch uses; at most an eighth of all."""
    strengths: Annotated[
        tuple[Annotated[float, Field(gt=0, le=10, strict=True)], ...],
        Field(strict=False, min_length=1, max_length=16),
    ] = (1.0, 0.5, 0.25, 0.125)
    """Factors of what a candidate writes: the trial takes the best of them for each, and the newborn keeps its own."""
    only_gains: bool = True
    """Whether nothing is born that does not lower the organism's loss in the trial."""
    exploration: Share = 0.1
    """Chance that not the best candidate is born, at the starting temperature; it cools with it."""
    room: bool = False
    """Whether, in a full pool, the weakest component dies for a newborn that is worth more in the trial."""
    slow_every: Count = 10
    """Deaths are decided, and the validity of the behaviour space is checked, every so many rounds."""
    min_alive: Count = 4
    """Components that deaths leave in a layer, at least."""
    min_age: Annotated[int, Field(ge=0)] = 3
    """Rounds that a component lives before it can die."""
    floor: float = 0.0
    """Relative fitness (a z-score) at or above which a component does not die for its fitness."""
    neighbours: Count = 5
    """Nearest neighbours in behaviour space with whose fitness a component's is compared."""
    loss_ratio: Positive = 10.0
    """Ratio of loss to its moving average beyond which an organism has no births and deaths."""
    timetable: Timetable = None
    """Births and deaths as these turns say, [{round: 5, organism: 0, births: 1}, ...]; null: by the rules here."""
    efficiency: Share = 0.0
    """Weight of the efficiency in the living fitness, by which components die: its share of the FLOPs spared."""
    budget_bytes: Count | None = None
    """Memory traffic of an organism's components, in counted bytes per example, at most; null: no limit."""
    memory_budget: Count | None = None
    """Bytes of a step, at most, before the weakest fifth of an organism's components dies in any phase; null: no limit.
    Counted are parameters, gradients, optimizer moments and what is kept for the backward pass. It is not a key of
    execution, because who dies follows from it and digests must not depend on the machine."""


class VariationConfig(Section):
    """How a newborn differs from its parents."""

    sigma: NotNegative = 0.1
    """Standard deviation of the Gaussian noise at the starting temperature, relative to the RMS of each array."""
    gene_rate: Share = 0.1
    """Probability that a structural gene is drawn anew."""
    line_share: Share = 0.3
    """Share of births from two elites (the iso+line operator); the rest are Gaussian mutations of one."""
    line_sigma: NotNegative = 0.3
    """Standard deviation along the line between two elites, relative to their distance."""


class EmittersConfig(Section):
    """Children of elites that are scored in the reference hosts between two rounds and compete like components."""

    kinds: Annotated[
        tuple[str, ...],
        Field(
            strict=False,
            description=f"Emitters: any of {', '.join(KINDS)}, or the import path package.module:Name of your own.",
        ),
    ] = DEFAULT
    children: Annotated[int, Field(ge=0, le=100_000)] = 204
    """Children a round; 0: the archive holds only what organisms became while they trained."""
    chunk: Annotated[int, Field(ge=1, le=1024)] = 12
    """Children of one emitter that one worker scores at a time; best a multiple of organism.capacity."""
    shares: Literal["bandit", "even"] = "bandit"
    """bandit: more children of the emitters that raised the QD score more for their cost; even: they take turns."""
    exploration: NotNegative = 0.3
    """Weight of what is not known well in the bandit's upper confidence bound."""
    iso_sigma: NotNegative = 0.03
    """Standard deviation of iso_line's noise, relative to the RMS of each array; its step is variation.line_sigma."""
    sigma: NotNegative = 0.1
    """Standard deviation of the noise of gaussian, relative to the RMS of each array."""
    scale_sigma: Annotated[float, Field(ge=0, le=2)] = 0.4
    """Standard deviation of the logarithm of the factor of each array of children of iso_line, gaussian, gradient."""
    gene_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Probability that gene draws each structural gene anew; it draws at least one."""
    steps: Count = 10
    """Optimizer steps of a child of gradient, in one reference host after the other, on training examples."""
    learning_rate: Positive = 4e-3
    """Learning rate of these steps."""
    cma_sigma: Positive = 0.2
    """Standard deviation with which cma_mae begins: of genes, as a share of their ranges; of steps to other elites."""
    cma_learning_rate: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of an improvement by which cma_mae raises the threshold of a cell; 1 is CMA-ME."""
    race: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of the probe split that rules out hopeless children before the whole of it is used; 1: no race."""

    @field_validator("kinds")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must name one or more different emitters, not {shown(list(value))}")
        return tuple(named(kind, KINDS) for kind in value)


class SourceConfig(Section):
    """A place near which births are to search, though nothing need be there yet."""

    behavior: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(strict=False)]
    """One number in [0, 1] for each of `measures`, in their order, as the frame of elites has them."""
    concentration: NotNegative
    """By how much an elite that lies there attracts more, in units of the objective; it fades with the distance."""


class ChemotaxisConfig(Section):
    """Which elites become parents."""

    kind: Literal["rule", "sources", "uniform"] = "rule"
    """rule: good ones and, for the hungry, those far from one's own and by empty cells; sources: good ones that births
    have not exhausted, less the way, which counts for organisms that cost much and not for the hungry; uniform: all
    alike."""
    sources: Annotated[tuple[SourceConfig, ...], Field(strict=False)] = ()
    """Of kind sources: places of your own, [{behavior: [0.2, 0.9, ...], concentration: 0.5}, ...]."""
    patience: Count = 8
    """Of kind sources: candidates of births that are made of an elite until it attracts half as much."""
    tau: Positive = 0.2
    """Temperature of the softmax by which cells are chosen; small is greedy."""
    window: Count = 5
    """Rounds over which an organism's improvement is taken; the less it improves, the more it favours empty regions."""


class ValidityConfig(Section):
    """When calibration stops the run because its measures span no sound behaviour space."""

    gate: Literal["robust", "blueprint", "off"] = "robust"
    """robust: on a bootstrap interval of the KMO below 0.5; blueprint: on a KMO below 0.5; both also on measures that
    are constant, duplicated, correlated over 0.95, unreliable or too few independent ones. off: all of that only warns,
    but for a constant measure, which has no range."""


class EarlyStoppingConfig(Section):
    """When a run ends before its last round: decided of the rounds that an order sees, journaled and replayed."""

    metric: Literal[
        "qd_score", "coverage", "best_objective", "best_validation_score", "mean_validation_score"
    ] = "qd_score"
    """Number of a round's summary that has to rise."""
    patience: Count | None = None
    """Rounds without a rise after which the run ends, when the orders that do not see it are done; null: it goes on."""
    min_delta: NotNegative = 0.0
    """A rise by no more than this is none."""
    start_from: Annotated[int, Field(ge=0)] = 0
    """Rounds at the beginning that do not count."""
