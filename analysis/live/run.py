"""The page of a run as a report has it, which asks whoever serves it for what is new and shows that in place."""

from collections.abc import Sequence

from analysis.live.sources import CONNECTION, STYLE, source
from analysis.report.blocks import Section, Table, Text
from analysis.report.document import Addition, document
from analysis.report.run import page_of_run
from archive_store.reading import Run

SCRIPTS = (CONNECTION, "settle.js", "live.js")


def live_page(
    run: Run, summary: Sequence[tuple[str, str]], round: int, objectives: Table, version: int, is_one: bool
) -> bytes:
    """Return the page of a run that goes on.

    Parameters
    ----------
    run, summary, round, objectives
        As `analysis.report.run.page_of_run` takes them.
    version
        Of what is shown: the page asks for another one when it is told of another version.
    is_one
        Whether there is no list of runs that it could lead back to.

    Raises
    ------
    StoreError
        If the run is damaged.
    """
    return page_of_run(run, summary, round, objectives, addition(version, is_one))


def page_without_rounds(name: str, why: str, version: int, is_one: bool) -> bytes:
    """Return the page of a run that has nothing to show yet.

    Parameters
    ----------
    name
        Of the run.
    why
        A sentence.
    version, is_one
        As `live_page` takes them.
    """
    return document(
        name, "A run of Plasmodia.", [Section("summary", "Summary", [Text(why)])], addition(version, is_one)
    )


def addition(version: int, is_one: bool) -> Addition:
    """Return what the page of a run has beside that of a report."""
    home = "" if is_one else '<p class="home"><a href="./">All runs</a></p>'
    top = f'<div id="live" data-version="{version}"></div>{home}'
    return Addition(tuple(map(source, SCRIPTS)), source(STYLE), top, asks=True)
