"""The subcommands that run: launch, resume, replay."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from runs.commands.options import (
    INTERRUPTED,
    AsJson,
    Executor,
    Overrides,
    Quiet,
    RunPath,
    Source,
    Workers,
    as_text,
    committed_rounds,
    more_pictures,
    prepare_machine,
    scalar_of,
    stop,
)
from runs.errors import ConfigError, RunError
from runs.machine.search_path import working_directory_last

if TYPE_CHECKING:
    from runs.rounds.differences import Difference


def launch(
    source: Source,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Names every random draw.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory [default: out/<name>].")
    ] = None,
    workers: Workers = None,
    executor: Executor = None,
    address: Annotated[
        str | None, typer.Option(metavar="local|auto|HOST:PORT|ray://...", help="Ray cluster to work on.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the resolved configuration; run nothing.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Calibrate, train and search; leave a run directory and print what came of it."""
    from runs.config.reader import load
    from runs.config.schema import plain, to_yaml

    working_directory_last()
    options = {
        "seed": seed,
        "execution.workers": scalar_of(workers),
        "execution.executor": executor,
        "execution.address": address,
    }
    config = load(source, overrides or (), options)
    if dry_run:
        typer.echo(as_text(plain(config)) if json else to_yaml(config), nl=json)
        return
    directory = Path("out") / config.name if out is None else out
    if directory.exists():
        from archive_store.lock import check_free

        check_free(directory)
        raise ConfigError(
            f"{directory} exists already; choose another --out, or go on with: plasmodia resume {directory}"
        )
    prepare_machine()
    from runs.launch import launch as start

    with _reporting(quiet, directory) as report:
        run = start(config, directory, report, report.tell)
    _finish(run, json)


def resume(
    run: RunPath,
    workers: Workers = None,
    executor: Executor = None,
    accept_environment: Annotated[
        bool,
        typer.Option(
            "--accept-environment",
            help="Go on although this machine computes otherwise; marks all later digests.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run that was cut off, to the same end."""
    working_directory_last()
    changes = _execution(workers, executor)
    prepare_machine()
    from runs.resume import resume as go_on

    with _reporting(quiet, run) as report:
        finished = go_on(run, changes, report, accept_environment, report.tell)
    _finish(finished, as_json=False)


def replay(
    run: RunPath,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Re-derive the decisions from the journal, without training.")
    ] = False,
    until: Annotated[int | None, typer.Option(metavar="ROUND", min=0, help="Last round to replay.")] = None,
    workers: Workers = None,
    executor: Executor = None,
) -> None:
    """Make a run again from its seed and compare it, round by round."""
    working_directory_last()
    changes = _execution(workers, executor)
    prepare_machine()
    from runs import replay as replaying

    if decisions:
        count, seconds, difference = replaying.decisions(run, until)
        _differ(run, difference)
        rate = f" ({count / seconds:,.0f} per second)" if seconds > 0 else ""
        typer.echo(f"equal: {count:,} decisions re-derived in {seconds:.2f} s{rate}")
        return
    with _reporting(False, None) as report:
        difference = replaying.replay(run, until, changes, report)
    _differ(run, difference)
    last, text = committed_rounds(run, until)[-1]
    typer.echo(f"equal: rounds 0 to {last}, digest {text}")


def _execution(workers: str | None, executor: str | None) -> dict[str, Any]:
    from runs.config.reader import execution_changes

    return execution_changes(workers=scalar_of(workers), executor=executor)


@contextmanager
def _reporting(quiet: bool, run: Path | None) -> Iterator[Any]:
    """Show progress on stderr; after an interrupt, tell how to go on with the run, if there is one."""
    from runs.observability.progress import Lasting, reporting

    try:
        # What a user's task or measure prints is a message; stdout carries data. On a terminal it passes through
        # the bar, which takes the place of sys.stderr.
        with (
            redirect_stderr(cast(TextIO, Lasting(sys.stderr))),
            reporting(sys.stderr, quiet) as report,
            redirect_stdout(sys.stderr),
        ):
            yield report
    except KeyboardInterrupt:
        hint = f"; go on with: plasmodia resume {run}" if run is not None and run.exists() else ""
        stop(f"interrupted{hint}", INTERRUPTED)


def _finish(run: Path, as_json: bool) -> None:
    from analysis import pictures
    from runs.results import summary

    result = summary.summarise(run)
    if not as_json:
        typer.echo(summary.table(result))
    paths = [str(path) for path in pictures.draw(run, more=more_pictures(own_code=True))]
    typer.echo(summary.as_json(result, plots=paths) if as_json else "\n".join(paths))


def _differ(run: Path, difference: "Difference | None") -> None:
    if difference is None:
        return
    from runs.rounds.differences import named, side_by_side

    typer.echo(side_by_side(difference))
    raise RunError(f"{run} differs from its replay at {named(difference)}")
