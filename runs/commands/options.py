"""What several subcommands share: arguments and options, exit statuses, and how values are read and written."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from runs.commands.streams import warn
from runs.config.presets import presets
from runs.errors import RunError, command

MOST_LINES, LONGEST_LINE = 1000, 4000  # of a message
INTERRUPTED = 130  # exit status, as shells give it: 128 + SIGINT

Source = Annotated[
    str,
    typer.Argument(
        metavar="PRESET|CONFIG.yaml",
        help=f"Name of a preset ({', '.join(presets())}), or a configuration file.",
        show_default=False,
        autocompletion=lambda incomplete: [name for name in presets() if name.startswith(incomplete)],
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="a.b=v", help="Values of single keys, such as organism.count=4.", show_default=False
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)]
Workers = Annotated[str | None, typer.Option(metavar="N|auto", help="Trainers at work at the same time.")]
Executor = Annotated[str | None, typer.Option(metavar="ray|inline", help="Where trainers run.")]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="off|file|prometheus://127.0.0.1:PORT",
        help="Who is told what is measured: a file metrics.prom in the folder, or who asks on this machine.",
    ),
]
Trace = Annotated[
    str | None,
    typer.Option(
        metavar="off|NAME.json|otlp://HOST:PORT",
        help="Where spans go: a file in the run's traces/, or a collector.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def stop(message: str, status: int) -> NoReturn:
    """Write one sentence to stderr, or several problems a line each, and exit with a status."""
    from archive_store.shown import shown

    lines = message.splitlines()[:MOST_LINES]  # what a stranger's file holds can be part of it
    warn("\n".join(shown(line, LONGEST_LINE) for line in lines))
    raise typer.Exit(status)


def prepare_machine() -> None:
    """Make arithmetic repeatable (`runs.machine.settings.prepare`); comes before anything that imports torch."""
    from runs.machine import settings

    settings.prepare()


def scalar_of(text: str | None) -> Any:
    """Return the value that an option's text has in YAML, None where the option was not given."""
    from archive_store.strict_yaml import scalar

    return None if text is None else scalar(text)


def committed_rounds(run: Path, until: int | None = None) -> list[tuple[int, str]]:
    """Return the committed rounds of a run, up to one of them, each with its digest.

    Raises
    ------
    RunError
        If there is none yet.
    """
    from archive_store.run_directory import RunDirectory

    with RunDirectory.open(run).journal() as journal:
        committed = journal.rounds()
    wanted = [(round, text) for round, text in committed.items() if until is None or round <= until]
    if not wanted:
        raise RunError(
            f"{run} has no committed round yet; look again later, or go on with: {command('resume', run)}"
        )
    return wanted


def as_text(value: Any) -> str:
    """Return a value as indented JSON."""
    import json

    return json.dumps(value, indent=2)
