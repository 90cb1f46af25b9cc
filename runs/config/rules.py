"""The rules of a configuration that concern more than one key."""

from collections.abc import Callable, Iterator
from typing import Any

from organisms.options import BrokenRule
from runs.config.problems import Problem, shown
from runs.config.schema import TABLE, Config
from runs.config.sections import ON_SAMPLES
from runs.errors import RAISED, told

MOST_SLOTS = 64  # in one organism, over all layers
MOST_STEPS = 100_000_000  # optimizer steps of one organism
SAMPLES_PER_CELL = 10  # that centroids among samples need
TEXTS = ("text", "tinystories", "wikitext")
READERS = (*TEXTS, "table")  # tasks that read a file
STREAMS = ("recall",)  # tasks that are streams, whatever is asked

Rule = Callable[[Config], Iterator[Problem]]


def broken_rules(config: Config) -> list[Problem]:
    """Return every rule that a configuration of valid fields breaks, with all the keys it is about."""
    return [problem for rule in RULES for problem in rule(config)]


def _pool(config: Config) -> Iterator[Problem]:
    organism = config.organism
    if organism.capacity < organism.initial:
        yield Problem(
            ("organism.capacity", "organism.initial"),
            f"must be at least organism.initial ({organism.initial}), not {organism.capacity}",
        )
    slots = organism.capacity * organism.depth
    if slots > MOST_SLOTS:
        yield Problem(
            ("organism.capacity", "organism.depth"),
            f"times organism.depth must be at most {MOST_SLOTS} slots, not "
            f"{organism.capacity} x {organism.depth} = {slots}",
        )
    if config.lifecycle.min_alive > organism.initial:
        yield Problem(
            ("lifecycle.min_alive", "organism.initial"),
            f"must be at most organism.initial ({organism.initial}), not {config.lifecycle.min_alive}",
        )


def _family(config: Config) -> Iterator[Problem]:
    try:  # the rules may be a user's
        broken = [_checked_rule(rule) for rule in config.options.broken_rules(config.organism.sizes)]
    except RAISED as error:
        yield Problem(("organism.kind",), f"checking the rules of its options raised {told(error)}")
        return
    for keys, sentence in broken:
        paths = (key if "." in key else f"organism.{config.family}.{key}" for key in keys)
        yield Problem(tuple(paths), sentence)


def _checked_rule(rule: Any) -> BrokenRule:
    keys, sentence = rule
    if not (isinstance(keys, tuple) and keys and all(isinstance(text, str) for text in (*keys, sentence))):
        raise TypeError(f"a broken rule is a tuple of keys and a sentence, not {shown(rule)}")
    return BrokenRule(keys, sentence)


def _static(config: Config) -> Iterator[Problem]:
    if config.lifecycle.enabled:
        return
    if config.births != "none":
        yield Problem(
            ("births", "lifecycle.enabled"),
            f"must be none where lifecycle.enabled is false, as nothing is born then, not {config.births}",
        )
    for name in ("budget_bytes", "memory_budget"):
        budget = getattr(config.lifecycle, name)
        if budget is not None:
            yield Problem(
                (f"lifecycle.{name}", "lifecycle.enabled"),
                "must be null where lifecycle.enabled is false, as nothing dies then to keep within it, not "
                f"{budget}",
            )


def _timetable(config: Config) -> Iterator[Problem]:
    life = config.lifecycle
    if life.timetable is None:
        return
    if not life.enabled:
        yield Problem(
            ("lifecycle.enabled", "lifecycle.timetable"), "must be true for lifecycle.timetable, not false"
        )
    if life.only_gains:
        yield Problem(
            ("lifecycle.only_gains", "lifecycle.timetable"),
            "must be false for lifecycle.timetable, by which births happen whatever they gain, not true",
        )
    seen: set[tuple[int, int]] = set()
    for number, turn in enumerate(life.timetable):
        key = f"lifecycle.timetable[{number}]"
        if turn.round > config.rounds:
            yield Problem(
                (f"{key}.round", "rounds"), f"must be at most rounds ({config.rounds}), not {turn.round}"
            )
        if turn.organism >= config.organism.count:
            yield Problem(
                (f"{key}.organism", "organism.count"),
                f"must be less than organism.count ({config.organism.count}), not {turn.organism}",
            )
        if turn.births and config.births == "none":
            yield Problem((f"{key}.births", "births"), f"must be 0 where births is none, not {turn.births}")
        if (turn.round, turn.organism) in seen:
            yield Problem(
                (key,), f"is the second turn of organism {turn.organism} before round {turn.round}; join them"
            )
        seen.add((turn.round, turn.organism))


def _memory(config: Config) -> Iterator[Problem]:
    compact = getattr(config.options, "compact", True)
    if config.lifecycle.memory_budget is not None and not compact:
        yield Problem(
            (f"organism.{config.family}.compact", "lifecycle.memory_budget"),
            "must be true where lifecycle.memory_budget is set, as an empty slot takes no less memory otherwise",
        )


def _calibration(config: Config) -> Iterator[Problem]:
    calibration = config.calibration
    if calibration.hosts >= calibration.organisms:
        yield Problem(
            ("calibration.hosts", "calibration.organisms"),
            f"must be less than calibration.organisms ({calibration.organisms}), not {calibration.hosts}",
        )
    first = calibration.checkpoints[0] * calibration.steps
    if first < 1:
        yield Problem(
            ("calibration.steps", "calibration.checkpoints"),
            f"must be large enough for the first checkpoint to come after a step, but {calibration.steps} x "
            f"{calibration.checkpoints[0]:g} is {first:g}",
        )


def _cells(config: Config) -> Iterator[Problem]:
    calibration, organism, cells = config.calibration, config.organism, config.archive.cells
    if config.archive.centroids not in ON_SAMPLES or calibration.from_run is not None:
        return
    samples = calibration.organisms * organism.initial * organism.depth * len(calibration.checkpoints)
    if samples < SAMPLES_PER_CELL * cells:
        yield Problem(
            (
                "archive.cells",
                "archive.centroids",
                "calibration.organisms",
                "calibration.checkpoints",
                "organism.initial",
                "organism.depth",
            ),
            f"{config.archive.centroids} needs {SAMPLES_PER_CELL} samples a cell, but calibration gives {samples} for "
            f"{cells} cells; use at most {samples // SAMPLES_PER_CELL} cells or archive.centroids: halton",
        )


def _objective(config: Config) -> Iterator[Problem]:
    weights = (config.objective.task, config.objective.efficiency, config.objective.gradient)
    if abs(sum(weights) - 1.0) > 1e-9:
        text = " + ".join(f"{weight:g}" for weight in weights)
        yield Problem(
            ("objective.task", "objective.efficiency", "objective.gradient"),
            f"the weights task, efficiency and gradient must sum to 1, not {text} = {sum(weights):g}",
        )


def _loss(config: Config) -> Iterator[Problem]:
    loss = config.training.loss
    if not any((loss.task, loss.contrastive, *loss.own.values())):
        yield Problem(
            ("training.loss.task", "training.loss.contrastive", "training.loss.own"),
            "and all other weights of training.loss are 0, so that nothing would be trained; set one above 0",
        )
    if loss.contrastive and config.training.batch < 2:
        yield Problem(
            ("training.batch", "training.loss.contrastive"),
            f"must be at least 2 for training.loss.contrastive, which compares examples, not {config.training.batch}",
        )


def _schedule(config: Config) -> Iterator[Problem]:
    lifecycle, annealing = config.lifecycle, config.annealing
    if lifecycle.warmup > lifecycle.gentle:
        yield Problem(
            ("lifecycle.warmup", "lifecycle.gentle"),
            f"must be at most lifecycle.gentle ({lifecycle.gentle:g}), not {lifecycle.warmup:g}",
        )
    if annealing.floor > annealing.start:
        yield Problem(
            ("annealing.floor", "annealing.start"),
            f"must be at most annealing.start ({annealing.start:g}), not {annealing.floor:g}",
        )
    if annealing.kind == "geometric" and annealing.floor <= 0:
        yield Problem(
            ("annealing.floor", "annealing.kind"),
            "must be more than 0 for a geometric schedule, which only reaches 0 in infinite time",
        )
    steps = config.rounds * config.training.steps_per_round
    if steps > MOST_STEPS:
        yield Problem(
            ("rounds", "training.steps_per_round"),
            f"times training.steps_per_round must be at most {MOST_STEPS:,} steps, not {steps:,}",
        )


def _sources(config: Config) -> Iterator[Problem]:
    chemotaxis, measures = config.chemotaxis, len(config.measures)
    if chemotaxis.sources and chemotaxis.kind != "sources":
        yield Problem(
            ("chemotaxis.sources", "chemotaxis.kind"),
            f"are of kind sources, which chemotaxis.kind, {chemotaxis.kind}, is not; set chemotaxis.kind: sources",
        )
    for number, source in enumerate(chemotaxis.sources):
        if len(source.behavior) != measures:
            yield Problem(
                (f"chemotaxis.sources[{number}].behavior", "measures"),
                f"must be {measures} numbers, one for each of measures, not {len(source.behavior)}",
            )


def _files(config: Config) -> Iterator[Problem]:
    task = config.task
    if task.path is not None and task.name not in READERS and ":" not in task.name:
        yield Problem(
            ("task.path", "task.name"),
            f"only the tasks {', '.join(READERS)} read a file, {task.name} does not; leave it out",
        )


def _table(config: Config) -> Iterator[Problem]:
    task = config.task
    if task.name == "table":
        for key, meaning in (("path", "the table"), ("target", "the column to predict")):
            if getattr(task, key) is None:
                yield Problem((f"task.{key}", "task.name"), f"must name {meaning} of the task table")
    elif ":" not in task.name:
        for key in TABLE:
            if getattr(task, key) != type(task).model_fields[key].default:
                text = f"is an option of the task table, {task.name} reads none; leave it out"
                yield Problem((f"task.{key}", "task.name"), text)


def _stream(config: Config) -> Iterator[Problem]:
    task = config.task
    if ":" in task.name:
        return
    if task.stream and task.name not in (*STREAMS, *TEXTS):
        yield Problem(
            ("task.stream", "task.name"),
            f"only {', '.join(TEXTS)} can be read as streams, and recall is one; {task.name} cannot; leave it out",
        )
    elif not task.stream and task.name not in STREAMS:
        for key in ("chunks", "truncation"):
            if getattr(task, key) is not None:
                text = "is an option of streams; choose the task recall, or text with task.stream: true"
                yield Problem((f"task.{key}", "task.name", "task.stream"), text)


def _device(config: Config) -> Iterator[Problem]:
    execution = config.execution
    if execution.device == "cuda" and execution.executor == "ray" and execution.num_gpus == 0:
        yield Problem(
            ("execution.num_gpus", "execution.device", "execution.executor"),
            "must be more than 0 for device cuda, because Ray hides the GPUs from workers that ask for none",
        )


def _kernel(config: Config) -> Iterator[Problem]:
    if getattr(config.options, "kernel", None) == "triton" and config.execution.device == "cpu":
        yield Problem(
            (f"organism.{config.family}.kernel", "execution.device"),
            "must be auto, reference, torch or your own on execution.device cpu, because triton needs a GPU; or set "
            "execution.device: cuda",
        )


RULES: tuple[Rule, ...] = (
    _pool,
    _family,
    _static,
    _timetable,
    _memory,
    _calibration,
    _cells,
    _objective,
    _loss,
    _schedule,
    _sources,
    _files,
    _table,
    _stream,
    _device,
    _kernel,
)
