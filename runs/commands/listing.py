"""The subcommands for many runs: list, compare."""

from pathlib import Path
from typing import Annotated

import typer

from runs.commands.options import AsJson, as_text
from runs.commands.streams import say
from runs.errors import RunError


def list_runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that holds runs, at any depth.")
    ] = Path("out"),
    sort: Annotated[
        str,
        typer.Option(
            metavar="KEY",
            help="run, state, seed, arm, task, family, rounds, planned, score, coverage, qd_score, bytes, changed or "
            "reason.",
        ),
    ] = "run",
    json: AsJson = False,
) -> None:
    """List the runs below a folder: state, seed, arm, rounds, score, coverage, size, last change."""
    from runs.results.listing import listed, plain, table

    found = listed(folder, sort)
    if json:
        say(as_text(plain(found)))
    elif found:
        say(table(found))
    else:
        raise RunError(f"there is no run in {folder}; `plasmodia launch` makes one")
    if damaged := [each.run for each in found if each.state == "damaged"]:
        raise RunError(
            f"{len(damaged)} of {len(found)} runs cannot be read; `plasmodia verify RUN` says more"
        )


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN ...",
            help="Directories of finished runs; the others are compared with the first one's arm.",
            show_default=False,
        ),
    ],
    each: Annotated[
        bool, typer.Option("--each", help="Take each run for an arm, whatever it has in common with others.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Print how runs differ: those of equal settings are an arm, and their seeds are paired."""
    from runs.experiments.report import as_plain, table
    from runs.experiments.runs_compared import compared_runs

    report = compared_runs(runs, each)
    say(as_text(as_plain(report)) if json else table(report))
