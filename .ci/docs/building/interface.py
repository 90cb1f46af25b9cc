"""The pages of the public interface: which names they show, of which docstrings are the text."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Part(NamedTuple):
    """A page of names; a name that ends in ``:`` stands for all that such a package exports."""

    page: str
    title: str
    says: str
    names: tuple[str, ...]


PARTS = (
    Part(
        "reading",
        "Reading a run",
        "Frames, archive and genomes of a run directory. Nothing is written, and no code of the run's is imported.",
        ("archive_store.reading.open_run", "archive_store.reading.Run"),
    ),
    Part(
        "runs",
        "Making and remaking runs",
        "What the commands call. Importing a module of `runs` does not start anything.",
        (
            "runs.config.reader.load",
            "runs.prepared.prepare",
            "runs.launch.launch",
            "runs.resume.resume",
            "runs.branching.extend",
            "runs.branching.fork",
            "runs.replay.replay",
            "runs.replay.decisions",
            "runs.results.summary.summarise",
            "runs.results.summary.Summary",
            "runs.results.evaluator.Evaluator",
            "runs.errors",
        ),
    ),
    Part(
        "models",
        "Models",
        "Networks of runs and of trainings: opened, asked, compared, exported.",
        (
            "runs.models.networks",
            "runs.models.opening.open_model",
            "runs.models.opening.Opened",
            "runs.models.predicting.predict",
            "runs.models.checkpoints",
            "runs.models.fit.training.fit",
            "runs.models.signature.Signature",
            "runs.models.exports.export.export",
        ),
    ),
    Part(
        "serving",
        "Serving",
        "What `plasmodia serve` is made of.",
        (
            "runs.serving.start.served",
            "runs.serving.limits",
            "runs.serving.generation",
            "runs.serving.service.Service",
            "runs.serving.predicting.Predictor",
        ),
    ),
    Part(
        "tasks",
        "Tasks and families",
        "What a task and a family of your own owe the harness.",
        (
            "organisms.task",
            "organisms.species.Species",
            "organisms.options",
            "runs.training.variator",
            "kernels.kernel",
        ),
    ),
    Part(
        "pseudopods",
        "Library: pseudopods",
        "What the [page of pseudopods](../families/pseudopods.md) describes.",
        ("organisms.pseudopods:",),
    ),
    Part(
        "experts",
        "Library: experts",
        "What the [page of experts](../families/experts.md) describes.",
        ("organisms.experts:",),
    ),
    Part(
        "towers",
        "Library: towers",
        "What the [page of towers](../families/towers.md) describes.",
        ("organisms.towers:",),
    ),
    Part(
        "flow",
        "Library: flow",
        "What the [page of flow](../families/flow.md) describes.",
        ("organisms.flow:",),
    ),
    Part(
        "search",
        "The search",
        "The mathematics of the archive, of emitters, of births and deaths: values and pure functions on NumPy.",
        (
            "qd.archive",
            "qd.centroids",
            "qd.measures",
            "qd.fitness",
            "qd.genes",
            "qd.variation",
            "qd.records",
            "qd.seeding",
            "qd.canonical",
            "qd.chemotaxis.rule",
            "qd.chemotaxis.sources",
            "qd.emitters.kinds",
            "qd.emitters.plan",
            "qd.emitters.shares",
            "qd.lifecycle.annealing",
            "qd.lifecycle.decide",
            "qd.lifecycle.trial",
            "qd.lifecycle.early_stopping",
        ),
    ),
    Part(
        "validity",
        "Validity of a behaviour space",
        "The statistics behind a verdict.",
        (
            "qd.validity.adequacy",
            "qd.validity.reliability",
            "qd.validity.choice",
            "qd.validity.findings",
            "qd.validity.verdict",
        ),
    ),
    Part(
        "analysis",
        "Pictures and statistics",
        "Functions from a frame and axes to axes, and what experiments are compared by.",
        (
            "analysis.pictures.draw",
            "analysis.coverage",
            "analysis.progress",
            "analysis.experiments.curves",
            "analysis.emitters",
            "analysis.lifecycle",
            "analysis.lineage",
            "analysis.validity",
            "analysis.utilisation",
            "analysis.statistics.differences",
            "analysis.statistics.intervals",
        ),
    ),
)


def exported(root: Path, package: str) -> Iterator[str]:
    """Find the names that a library exports, each by the module that defines it, without importing anything."""
    source = root.joinpath(*package.split("."), "__init__.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names if name.asname == name.name)


def page(part: Part, root: Path) -> str:
    """Return a page of the interface."""
    names: list[str] = []
    for name in part.names:
        names += exported(root, name[:-1]) if name.endswith(":") else [name]
    return "\n\n".join([f"# {part.title}", part.says, *(f"::: {name}" for name in names)]) + "\n"
