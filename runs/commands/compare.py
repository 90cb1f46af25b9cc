"""The subcommand that compares runs that exist."""

from pathlib import Path
from typing import Annotated

import typer

from runs.commands.options import AsJson, as_text
from runs.commands.streams import say


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
