"""The command `plasmodia`: one function a subcommand.

Heavy modules are imported where they are used, so that ``--help`` is instant. stdout carries data, stderr
messages; the exit status is 0, 1 (a run cannot go on), 2 (configuration or usage, such as a folder that is no run),
3 (stopped as asked) or 130 (interrupted).
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import typer

from archive_store.errors import StoreError
from runs.commands import inspect, run, setup
from runs.commands.options import INTERRUPTED, stop
from runs.errors import PlasmodiaError, RunError
from runs.machine.search_path import ours_first

COMMANDS: Mapping[str, Callable[..., None]] = {
    "launch": run.launch,
    "resume": run.resume,
    "replay": run.replay,
    "digest": inspect.digest,
    "verify": inspect.verify,
    "validate": setup.validate,
    "plot": inspect.plot,
    "show": inspect.show,
    "schema": setup.schema,
    "doctor": setup.doctor,
}


def main() -> None:
    """Run the command line."""
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
        except BrokenPipeError:
            raise  # the reader of stdout has left; typer ends quietly
        except OSError as error:
            stop(str(error), RunError.exit_status)

    return wrapped


app = typer.Typer(
    help="Quality-diversity search over the parts of neural networks.",
    no_args_is_help=True,
    add_completion=False,
    # Rich would take as long to import as everything else that --help needs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _name, _function in COMMANDS.items():
    app.command(_name)(guarded(_function))


if __name__ == "__main__":
    main()
