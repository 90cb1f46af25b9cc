"""The command `plasmodia`: one function a subcommand.

Heavy modules are imported where they are used, so that ``--help`` is instant. stdout carries data, stderr
messages; the exit status is 0, 1 (a run cannot go on), 2 (configuration or usage, such as a folder that is no run),
3 (stopped as asked) or 130 (interrupted).
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from archive_store.errors import StoreError
from runs.errors import ConfigError, PlasmodiaError, RunError

if TYPE_CHECKING:
    from runs.rounds.differences import Difference

INTERRUPTED = 130  # exit status, as shells give it: 128 + SIGINT

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    help="Quality-diversity search over the parts of neural networks.",
    no_args_is_help=True,
    add_completion=False,
    # Rich would take as long to import as everything else that --help needs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Source = Annotated[str, typer.Argument(metavar="PRESET|CONFIG.yaml", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="a.b=v", help="Values of single keys, such as organism.count=4.", show_default=False
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)]
Workers = Annotated[str | None, typer.Option(metavar="N|auto", help="Trainers at work at the same time.")]
Executor = Annotated[str | None, typer.Option(metavar="ray|inline", help="Where trainers run.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def main() -> None:
    """Run the command line; modules in the working directory can be imported, as by ``python -m``."""
    sys.path.insert(0, "")
    app(prog_name="plasmodia")


def _command(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a subcommand whose foreseen errors are one sentence on stderr and an exit status."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except (PlasmodiaError, StoreError) as error:
                _stop(str(error), error.exit_status)
            except KeyboardInterrupt:  # while libraries were loading, say
                _stop("interrupted", INTERRUPTED)
            except BrokenPipeError:
                raise  # the reader of stdout has left; typer ends quietly
            except OSError as error:
                _stop(str(error), RunError.exit_status)

        app.command(name)(wrapped)
        return wrapped

    return decorate


def _stop(message: str, status: int) -> NoReturn:
    typer.echo(f"plasmodia: {message}", err=True)
    raise typer.Exit(status)


@_command("launch")
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

    options = {
        "seed": seed,
        "execution.workers": _scalar(workers),
        "execution.executor": executor,
        "execution.address": address,
    }
    config = load(source, overrides or (), options)
    if dry_run:
        typer.echo(_json(plain(config)) if json else to_yaml(config), nl=json)
        return
    directory = Path("out") / config.name if out is None else out
    if directory.exists():
        from archive_store.lock import check_free

        check_free(directory)
        raise ConfigError(
            f"{directory} exists already; choose another --out, or go on with: plasmodia resume {directory}"
        )
    _prepare()
    from runs.launch import launch as start

    with _reporting(quiet, directory) as report:
        run = start(config, directory, report)
    _finish(run, json)


@_command("resume")
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
    changes = _execution(workers, executor)
    _prepare()
    from runs.resume import resume as go_on

    with _reporting(quiet, run) as report:
        finished = go_on(run, changes, report, accept_environment)
    _finish(finished, as_json=False)


@_command("replay")
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
    changes = _execution(workers, executor)
    _prepare()
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
    last, text = _rounds(run, until)[-1]
    typer.echo(f"equal: rounds 0 to {last}, digest {text}")


@_command("digest")
def digest(
    run: RunPath,
    rounds: Annotated[bool, typer.Option("--rounds", help="Write the digest of every round.")] = False,
) -> None:
    """Check a run's journal and write its digest."""
    from archive_store.run_directory import RunDirectory

    with RunDirectory.open(run).journal() as journal:
        journal.verify_chain()
        moves = journal.moves()
    committed = _rounds(run)
    for round, differences in moves.items():
        typer.echo(
            f"plasmodia: from round {round} on in another environment: {'; '.join(differences)}", err=True
        )
    if rounds:
        environments = {round: 1 + sum(move <= round for move in moves) for round, _ in committed}
        marks = {round: f" environment {number}" for round, number in environments.items() if number > 1}
        typer.echo("\n".join(f"{round} {text}{marks.get(round, '')}" for round, text in committed))
    else:
        typer.echo(committed[-1][1])


@_command("verify")
def verify(run: RunPath, json: AsJson = False) -> None:
    """Find every damaged file of a run, and say what depends on it."""
    from dataclasses import asdict

    from archive_store.verification import verify as look

    found = look(run)
    if json:
        typer.echo(_json(asdict(found)))
    else:
        for problem in found.problems:
            where = "" if problem.round is None else f" (round {problem.round})"
            typer.echo(f"{problem.file}{where}: {problem.problem}; depends on it: {problem.dependents}")
    if found.problems:
        raise RunError(
            f"{run} is damaged in {len(found.problems)} of its files; "
            f"`plasmodia resume {run}` makes the genomes of elites again and, of an unfinished run, states; "
            "all else comes from a copy"
        )
    if not json:
        state = "finished" if found.finished else "not finished (whole files are known when it is)"
        typer.echo(
            f"intact: {found.files:,} files, {found.bytes:,} bytes, rounds 0 to {found.rounds}, {state}"
        )


@_command("validate")
def validate(source: Source, overrides: Overrides = None) -> None:
    """Check a configuration and name everything that is wrong with it."""
    from runs.config.reader import load

    config = load(source, overrides or ())
    typer.echo(
        f"{source}: valid ({config.organism.count} organisms, {config.rounds} rounds, {config.task.name})"
    )


@_command("plot")
def plot(
    run: RunPath,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K",
            help="Which picture: coverage, progress, parallel, lifecycle, lineage, validity, utilisation or "
            "predictions; may be repeated [default: all that the run has something for].",
        ),
    ] = None,
    format: Annotated[str, typer.Option(metavar="png|svg", help="Format of the files.")] = "png",
) -> None:
    """Draw a run and write the paths of the pictures."""
    if format not in ("png", "svg"):
        raise ConfigError(f"--format must be png or svg, not {format}")
    from analysis import pictures
    from runs.config.problems import nearest

    more = _more(own_code=False)
    known = (*pictures.KINDS, *more)
    for name in kind or ():
        if name not in known:
            near = nearest(name, known) or ";"
            raise ConfigError(f"no picture is called {name}{near} known: {', '.join(known)}")
    if not kind or "predictions" in kind:
        _prepare()
    try:
        paths = pictures.draw(run, tuple(kind) if kind else None, format, more)
    except pictures.NothingToDraw as error:
        raise ConfigError(str(error)) from error
    for path in paths:
        typer.echo(path)


@_command("show")
def show(run: RunPath, json: AsJson = False) -> None:
    """Print what a run came to."""
    from runs.results.summary import as_json, summarise, table

    summary = summarise(run)
    typer.echo(as_json(summary) if json else table(summary))


@_command("schema")
def schema() -> None:
    """Write the JSON schema of a configuration."""
    from runs.config.schema import Config

    typer.echo(_json(Config.model_json_schema()))


@_command("doctor")
def doctor(json: AsJson = False) -> None:
    """Check this machine and installation."""
    from runs.doctor.doctor import doctor as check_all

    checks = check_all()
    if json:
        typer.echo(_json(checks))
    else:
        width = max((len(check["name"]) for check in checks), default=0)
        for check in checks:
            typer.echo(f"{check['status']:<4}  {check['name']:<{width}}  {check['detail']}")
    if any(check["status"] == "fail" for check in checks):
        raise typer.Exit(RunError.exit_status)


def _prepare() -> None:
    """Settle what libraries read when they are first loaded; comes before anything that imports torch."""
    from runs.machine import settings

    settings.prepare()


def _scalar(text: str | None) -> Any:
    from archive_store.strict_yaml import scalar

    return None if text is None else scalar(text)


def _execution(workers: str | None, executor: str | None) -> dict[str, Any]:
    from runs.config.reader import execution_changes

    return execution_changes(workers=_scalar(workers), executor=executor)


@contextmanager
def _reporting(quiet: bool, run: Path | None) -> Iterator[Any]:
    """Show progress on stderr; where an interrupt leaves a run behind, say how to go on with it."""
    from runs.observability.progress import reporting

    try:
        # What a user's task or measure prints is a message; stdout carries data.
        with redirect_stdout(sys.stderr), reporting(sys.stderr, quiet) as report:
            yield report
    except KeyboardInterrupt:
        hint = f"; go on with: plasmodia resume {run}" if run is not None and run.exists() else ""
        _stop(f"interrupted{hint}", INTERRUPTED)


def _finish(run: Path, as_json: bool) -> None:
    from analysis import pictures
    from runs.results import summary

    result = summary.summarise(run)
    if not as_json:
        typer.echo(summary.table(result))
    paths = [str(path) for path in pictures.draw(run, more=_more(own_code=True))]
    typer.echo(summary.as_json(result, plots=paths) if as_json else "\n".join(paths))


def _more(own_code: bool) -> dict[str, Any]:
    """Give the picture that needs trained networks; `own_code`: also those of a task or family of the user's."""

    def predictions(run: Any, figure: Any) -> None:
        from runs.results.predictions import picture

        with redirect_stdout(sys.stderr):  # what the user's code prints is a message
            picture(run, figure, own_code)

    return {"predictions": predictions}


def _rounds(run: Path, until: int | None = None) -> list[tuple[int, str]]:
    from archive_store.run_directory import RunDirectory

    with RunDirectory.open(run).journal() as journal:
        committed = journal.rounds()
    wanted = [(round, text) for round, text in committed.items() if until is None or round <= until]
    if not wanted:
        raise RunError(
            f"{run} has no committed round yet; look again later, or go on with: plasmodia resume {run}"
        )
    return wanted


def _differ(run: Path, difference: "Difference | None") -> None:
    if difference is None:
        return
    from runs.rounds.differences import named, side_by_side

    typer.echo(side_by_side(difference))
    raise RunError(f"{run} differs from its replay at {named(difference)}")


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)


if __name__ == "__main__":
    main()
