"""The subcommand slo: what is left of the error budgets of a run."""

from pathlib import Path
from typing import Annotated

import typer

from runs.commands.options import AsJson, RunPath, as_text
from runs.commands.streams import say
from runs.errors import RunError


def slo(
    run: RunPath,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="SLO.yaml",
            help="Objectives: commit, order, idle, lag, lost and memory, each with threshold, objective and window "
            "[default: the built-in ones].",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Print what is left of the error budgets of a run, live or finished; where one is spent, the exit status is 1."""
    from archive_store.run_directory import RunDirectory
    from runs.results.slo.remaining import budgets
    from runs.results.slo.settings import slos_of
    from runs.results.slo.shown import plain, sentence, table

    wanted = slos_of(config)
    with RunDirectory.open(run).journal() as journal:
        last, found = journal.last_round(), budgets(journal, wanted)
    say(as_text({"round": last, "objectives": plain(found)}) if json else table(found))
    if any(each.spent for each in found):
        raise RunError(f"{run}: {sentence(found)}")
