"""The command `plasmodia`: one function a subcommand.

Heavy modules are imported where they are used, so that ``--help`` is instant. stdout carries data, stderr
messages; the exit status is 0, 1 (a run cannot go on), 2 (configuration or usage, such as a folder that is no run),
3 (stopped as asked) or 130 (interrupted).
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from archive_store.errors import StoreError
from runs.commands import (
    experiment,
    fit,
    inspect,
    listing,
    models,
    report,
    run,
    serve,
    setup,
    streams,
)
from runs.commands.operations import export, slo
from runs.commands.options import INTERRUPTED, stop
from runs.errors import ConfigError, PlasmodiaError, RunError
from runs.machine.search_path import ours_first

COMMANDS: Mapping[str, Callable[..., None]] = {
    "launch": run.launch,
    "resume": run.resume,
    "extend": run.extend,
    "fork": run.fork,
    "replay": run.replay,
    "digest": inspect.digest,
    "verify": inspect.verify,
    "validate": setup.validate,
    "plot": inspect.plot,
    "show": inspect.show,
    "schema": setup.schema,
    "doctor": setup.doctor,
    "list": listing.list_runs,
    "export": export.export,
    "compare": listing.compare,
    "serve": serve.serve,
    "predict": models.predict,
    "fit": fit.fit,
    "report": report.report,
    "slo": slo.slo,
    "watch": report.watch,
}

_UNMAPPED = "failed to map segment"  # what the loader of shared libraries says where memory is limited


def main() -> None:
    """Run the command line."""
    streams.prepare()
    os.environ["MPLBACKEND"] = "agg"  # pictures are files; a notebook's backend is not there, nor a display
    ours_first()
    app(prog_name="plasmodia")


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose foreseen errors are one sentence on stderr and an exit status."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (PlasmodiaError, StoreError) as error:
            stop(str(error), error.exit_status)
        except KeyboardInterrupt:  # while libraries were loading, say
            stop("interrupted", INTERRUPTED)
        except OSError as error:
            if _is_lost():
                stop(
                    "the working directory was removed; change to one that is there", ConfigError.exit_status
                )
            stop(str(error), RunError.exit_status)
        except (ImportError, MemoryError) as error:
            if not (isinstance(error, MemoryError) or _UNMAPPED in str(error)):
                raise
            stop(
                f"there is too little memory: {str(error) or 'nothing could be allocated'}",
                RunError.exit_status,
            )

    return wrapped


def _is_lost() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _version(asked: bool) -> None:
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        streams.say(f"plasmodia {version('plasmodia')}")
    except PackageNotFoundError:
        streams.say("plasmodia, not installed")
    raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    # Rich would take as long to import as everything else that --help needs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def plasmodia(
    version: Annotated[
        bool, typer.Option("--version", help="Write the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Quality-diversity search over the parts of neural networks."""


for _name, _function in COMMANDS.items():
    app.command(_name)(guarded(_function))
_experiment = typer.Typer(cls=experiment.Group, no_args_is_help=True, rich_markup_mode=None)
for _name, _function in experiment.COMMANDS.items():
    _experiment.command(_name, cls=experiment.WithArms)(guarded(_function))
app.add_typer(_experiment, name="experiment", help=experiment.HELP)
_models = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
for _name, _function in models.COMMANDS.items():
    _models.command(_name)(guarded(_function))
app.add_typer(_models, name="models", help=models.HELP)


if __name__ == "__main__":
    main()
