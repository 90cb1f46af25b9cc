"""The subcommands that run: launch, resume, extend, fork, replay."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runs.commands.drawing import drawn, reason
from runs.commands.options import (
    AsJson,
    Executor,
    Metrics,
    Overrides,
    Quiet,
    RunPath,
    Source,
    Trace,
    Workers,
    as_text,
    committed_rounds,
    prepare_machine,
    scalar_of,
)
from runs.commands.places import named_as
from runs.commands.streams import messages_only, say, warn
from runs.commands.watching import watched
from runs.errors import RunError, command
from runs.machine.search_path import working_directory_last

if TYPE_CHECKING:
    from runs.rounds.differences import Difference

AcceptEnvironment = Annotated[
    bool,
    typer.Option(
        "--accept-environment",
        help="Go on although this machine computes otherwise; marks all later digests.",
    ),
]


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
    metrics: Metrics = None,
    trace: Trace = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the resolved configuration; run nothing.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Calibrate, train and search; leave a run directory and print what came of it."""
    from runs.config.reader import load
    from runs.config.schema import plain, to_yaml
    from runs.machine.place import check_place

    working_directory_last()
    options = {
        "seed": seed,
        "execution.workers": scalar_of(workers),
        "execution.executor": executor,
        "execution.address": address,
        "execution.metrics": metrics,
        "execution.trace": trace,
    }
    started_in = Path.cwd()
    with messages_only():
        config = load(source, overrides or (), options)
    if dry_run:
        say(as_text(plain(config)) if json else to_yaml(config), nl=json)
        return
    given = Path("out") / config.name if out is None else out
    with named_as(given, started_in / given) as directory:
        check_place(directory)
        with watched(quiet, _hint(given, directory)) as report:
            prepare_machine()
            from runs.launch import launch as start

            start(config, directory, report, report.tell)
        _finish(given, directory, json)


def resume(
    run: RunPath,
    workers: Workers = None,
    executor: Executor = None,
    accept_environment: AcceptEnvironment = False,
    metrics: Metrics = None,
    trace: Trace = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a run that was cut off, to the same end."""
    working_directory_last()
    changes = _execution(workers, executor, metrics=metrics, trace=trace)
    with named_as(run, run.absolute()) as directory:
        with watched(quiet, _hint(run, directory)) as report:
            prepare_machine()
            from runs.resume import resume as go_on

            go_on(directory, changes, report, accept_environment, report.tell)
        _finish(run, directory, as_json=False)


def extend(
    run: RunPath,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rounds of the whole run, more than it has.")
    ],
    workers: Workers = None,
    executor: Executor = None,
    accept_environment: AcceptEnvironment = False,
    quiet: Quiet = False,
) -> None:
    """Let a finished run go on to more rounds; the digests of those that it has stay."""
    working_directory_last()
    changes = _execution(workers, executor)
    with named_as(run, run.absolute()) as directory:
        with watched(quiet, _hint(run, directory)) as report:
            prepare_machine()
            from runs import branching

            branching.extend(directory, rounds, changes, report, accept_environment, report.tell)
        _finish(run, directory, as_json=False)


def fork(
    run: RunPath,
    at: Annotated[int, typer.Option(metavar="ROUND", min=1, help="Last round that both share.")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of the new run [default: RUN-at-ROUND].")
    ] = None,
    workers: Workers = None,
    executor: Executor = None,
    accept_environment: AcceptEnvironment = False,
    quiet: Quiet = False,
) -> None:
    """Make a new run that shares the first rounds of another and goes on with other settings.

    What is not given, the number of rounds too, is as in the other run's next round.
    """
    working_directory_last()
    changes = _execution(workers, executor)
    given = run.with_name(f"{run.absolute().name}-at-{at}") if out is None else out
    with named_as(run, run.absolute()) as parent, named_as(given, given.absolute()) as directory:
        with watched(quiet, _hint(given, directory)) as report:
            prepare_machine()
            from runs import branching

            branching.fork(
                parent, at, directory, overrides or (), changes, report, accept_environment, report.tell
            )
        _finish(given, directory, as_json=False)


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

    with named_as(run, run.absolute()) as directory:
        if decisions:
            count, seconds, difference = replaying.decisions(directory, until)
            _differ(directory, difference)
            rate = f" ({count / seconds:,.0f} per second)" if seconds > 0 else ""
            say(f"equal: {count:,} decisions re-derived in {seconds:.2f} s{rate}")
            return
        with watched() as report:
            difference = replaying.replay(directory, until, changes, report)
        _differ(directory, difference)
        last, text = committed_rounds(directory, until)[-1]
    say(f"equal: rounds 0 to {last}, digest {text}")


def _execution(workers: str | None, executor: str | None, **others: str | None) -> dict[str, Any]:
    from runs.config.reader import execution_changes

    return execution_changes(workers=scalar_of(workers), executor=executor, **others)


def _hint(given: Path, directory: Path) -> Callable[[], str]:
    """Return what tells how to go on with a run, if there is one by then."""
    return lambda: f"; go on with: {command('resume', given)}" if directory.exists() else ""


def _finish(given: Path, run: Path, as_json: bool) -> None:
    """Print what came of a run, then draw it: whatever becomes of the pictures, the run has ended well."""
    from runs.results import rows, summary

    result = replace(summary.summarise(run), run=str(given))
    if not as_json:
        say(rows.table(result))
    paths: list[Path] = []
    try:
        paths = [given / path.relative_to(run) for path in _pictures(run)]
    finally:  # also of an interrupt
        if as_json:
            say(summary.as_json(result, plots=[str(path) for path in paths]))
    for path in () if as_json else paths:
        say(path)


def _pictures(run: Path) -> list[Path]:
    try:
        return drawn(run, at_the_end=True)[0]
    except Exception as error:
        warn(f"the run has ended, but its pictures are not drawn: {reason(error)}")
        return []


def _differ(run: Path, difference: "Difference | None") -> None:
    if difference is None:
        return
    from runs.rounds.differences import named, side_by_side

    say(side_by_side(difference))
    raise RunError(f"{run} differs from its replay at {named(difference)}")
