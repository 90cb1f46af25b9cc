"""The subcommand `plasmodia report`: a run or an experiment as one page of HTML."""

import os
from pathlib import Path
from typing import Annotated

import typer

from runs.commands.places import named_as
from runs.commands.streams import say
from runs.errors import ConfigError, RunError

_START = b"<!DOCTYPE html>"


def report(
    where: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|EXPERIMENT",
            help="Directory of a run, or folder of an experiment.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.html",
            help="The file [default: report.html in the folder].",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Of an experiment: the arm that the others are compared with [default: the first].",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a run or an experiment as one page of HTML, which needs no network, and print the page's path."""
    place = where / "report.html" if out is None else out
    _check(place)
    with named_as(where, where.absolute()) as folder:
        is_run = os.path.lexists(folder / "config.yaml")
        if not is_run and os.path.lexists(folder / "experiment.yaml"):
            data = _of_experiment(folder, against, place.absolute().parent)
        else:
            data = _of_run(folder, against)
    _write(place, data)
    say(place)


def _of_run(folder: Path, against: str | None) -> bytes:
    from archive_store.errors import NoRunError
    from archive_store.reading import open_run
    from runs.results.summary import rows, summarise

    if folder.is_dir() and not os.path.lexists(folder / "config.yaml"):
        raise NoRunError(
            f"{folder} is neither a run nor an experiment: it has no config.yaml and no experiment.yaml; give a "
            "folder that `plasmodia launch` or `plasmodia experiment` made"
        )
    run = open_run(folder)
    if against is not None:
        raise ConfigError(f"--against is of experiments, and {folder} is a run; leave it out")
    summary = summarise(folder)
    from analysis.report.blocks import Table
    from analysis.report.run import page_of_run
    from runs.results.slo.remaining import budgets
    from runs.results.slo.settings import SlosConfig
    from runs.results.slo.shown import COLUMNS
    from runs.results.slo.shown import rows as told

    with run.directory.journal() as journal:
        found = budgets(journal, SlosConfig())
    objectives = Table("Error budgets of the service-level objectives", COLUMNS, told(found))
    return page_of_run(run, _joined(rows(summary)), summary.rounds, objectives)


def _of_experiment(folder: Path, against: str | None, beside: Path) -> bytes:
    from runs.experiments.folder import ExperimentFolder
    from runs.experiments.page import page
    from runs.experiments.plan import arm_called

    experiment = ExperimentFolder(folder)
    plan = experiment.plan()
    chosen = plan.arms[0].name if against is None else arm_called(against, plan)
    return page(experiment, plan, chosen, beside)


def _joined(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the lines of a summary as rows: one without a label belongs to the line before; a path is no result."""
    found: list[tuple[str, str]] = []
    for label, text in rows:
        if label == "run":
            continue
        if label:
            found.append((label, text))
        else:
            before, above = found.pop()
            found.append((before, f"{above}\n{text}"))
    return found


def _check(place: Path) -> None:
    """Refuse to put a page in the place of anything but a page."""
    if not os.path.lexists(place):
        return
    if place.is_dir():
        raise ConfigError(f"{place} is a folder; give the name of a file, such as {place / 'report.html'}")
    if place.is_symlink() or not place.is_file():
        raise ConfigError(f"{place} is no plain file, and is not replaced; give another -o")
    with place.open("rb") as file:
        if file.read(len(_START)) != _START:
            raise ConfigError(
                f"{place} exists and is no page of HTML, so that it is not replaced; give another -o"
            )


def _write(place: Path, data: bytes) -> None:
    from archive_store import durable
    from archive_store.errors import WriteError

    try:
        durable.make_directory(place.absolute().parent)
        durable.place(place, data)
    except (WriteError, OSError) as error:
        reason = error.reason if isinstance(error, WriteError) else error.strerror
        raise RunError(f"{place} cannot be written: {reason}; choose another -o") from error
