"""The subcommand export: a run for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from runs.commands.options import RunPath
from runs.commands.streams import messages_only, say
from runs.errors import ConfigError


def export(
    run: RunPath,
    frames: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the frames, one file each.", show_default=False),
    ] = None,
    format: Annotated[str, typer.Option(metavar="csv|parquet", help="Format of the frames.")] = "csv",
    to: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="TRACKER DIR",
            help="tensorboard, wandb (offline) or mlflow (local files), and the folder for its files.",
            show_default=False,
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="File for the run's orders and commits as a trace, which Perfetto opens.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a run, finished or live, as files that other programs read, and their paths."""
    from archive_store.reading import open_run

    if frames is None and to is None and trace is None:
        raise ConfigError("say what is exported: --frames DIR, --to TRACKER DIR or --trace FILE.json")
    opened, paths = open_run(run), []
    if frames is not None:
        from runs.results.exported import export as write

        paths += write(opened, frames, format)
    if trace is not None:
        from runs.results.timeline import export_trace

        paths += [export_trace(opened, trace)]
    if to is not None:
        from runs.results.trackers.export import export_to

        with messages_only():
            paths += [export_to(opened, *to)]
    for path in paths:
        say(path)
