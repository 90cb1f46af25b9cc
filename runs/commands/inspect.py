"""The subcommands that look at a run: digest, verify, plot, show."""

from bisect import bisect_right
from pathlib import Path
from typing import Annotated

import typer

from runs.commands.options import (
    AsJson,
    RunPath,
    as_text,
    committed_rounds,
    prepare_machine,
)
from runs.commands.streams import say, warn
from runs.errors import ConfigError, RunError, command

LINE = 2000  # characters of a line that tells what is wrong


def digest(
    run: RunPath,
    rounds: Annotated[bool, typer.Option("--rounds", help="Write the digest of every round.")] = False,
) -> None:
    """Check a run's journal and write its digest."""
    from archive_store.run_directory import RunDirectory
    from archive_store.shown import shown

    with RunDirectory.open(run).journal() as journal:
        journal.verify_chain()
        moves = journal.moves()
    committed = committed_rounds(run)
    for round, differences in moves.items():
        warn(f"from round {round} on in another environment: {shown('; '.join(differences), LINE)}")
    if rounds:
        moved = sorted(moves)
        environments = {round: 1 + bisect_right(moved, round) for round, _ in committed}
        marks = {round: f" environment {number}" for round, number in environments.items() if number > 1}
        say("\n".join(f"{round} {shown(text)}{marks.get(round, '')}" for round, text in committed))
    else:
        say(shown(committed[-1][1]))


def verify(run: RunPath, json: AsJson = False) -> None:
    """Find every damaged file of a run, and say what depends on it."""
    from dataclasses import asdict

    from archive_store.shown import shown
    from archive_store.verification import verify as look

    found = look(run)
    if json:
        say(as_text(asdict(found)))
    else:
        for problem in found.problems:
            where = "" if problem.round is None else f" (round {problem.round})"
            told = shown(f"{problem.problem}; depends on it: {problem.dependents}", LINE)
            say(f"{shown(problem.file)}{where}: {told}")
    if found.problems:
        raise RunError(
            f"{run} is damaged in {len(found.problems)} of its files; "
            f"`{command('resume', run)}` makes the genomes of elites again and, of an unfinished run, states; "
            "all else comes from a copy"
        )
    if not json:
        state = "finished" if found.finished else "not finished (whole files are known when it is)"
        say(f"intact: {found.files:,} files, {found.bytes:,} bytes, rounds 0 to {found.rounds}, {state}")


def plot(
    run: RunPath,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K",
            help="Which picture: coverage, progress, emitters, parallel, lifecycle, trials, lineage, validity, "
            "utilisation, predictions or emergence; may be repeated [default: all that the run has something for, but "
            "emergence].",
        ),
    ] = None,
    format: Annotated[str, typer.Option(metavar="png|svg", help="Format of the files.")] = "png",
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the files [default: plots in the run].", show_default=False
        ),
    ] = None,
) -> None:
    """Draw a run and write the paths of the pictures."""
    if format not in ("png", "svg"):
        raise ConfigError(f"--format must be png or svg, not {format}")
    from analysis import pictures
    from analysis.rendering import NothingToDraw
    from runs.commands.drawing import drawn, more_pictures
    from runs.config.problems import nearest

    more = more_pictures(own_code=False)
    known = (*pictures.KINDS, *more)
    for name in kind or ():
        if name not in known:
            near = nearest(name, known) or ";"
            raise ConfigError(f"no picture is called {name}{near} known: {', '.join(known)}")
    if not kind or set(kind) & set(more):
        prepare_machine()
    try:
        paths, failures = drawn(run, tuple(kind) if kind else None, format, to)
    except NothingToDraw as error:
        raise ConfigError(str(error)) from error
    for path in paths:
        say(path)
    if failures:
        raise typer.Exit(RunError.exit_status)


def show(run: RunPath, json: AsJson = False) -> None:
    """Print what a run came to."""
    from archive_store.run_directory import RunDirectory
    from runs.results.rows import table
    from runs.results.summary import as_json, summarise

    RunDirectory.open(run).check_manifest(blobs=False)
    summary = summarise(run)
    say(as_json(summary) if json else table(summary))
