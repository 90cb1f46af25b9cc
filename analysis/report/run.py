"""The page of a run, live or finished: the rounds that it had when the page was asked for."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.emptiness import reasons
from analysis.report.blocks import Block, Chart, Section, Table, Text
from analysis.report.course import progress
from analysis.report.decided import lifecycle, trials
from analysis.report.descent import descent
from analysis.report.document import MOST_BYTES, NOTHING, Addition, document
from analysis.report.elites import elites_data
from analysis.report.settings import configuration, environment
from analysis.report.values import plain
from analysis.report.verdicts import verdicts
from analysis.report.work import emitters, timings
from archive_store import inside
from archive_store.reading import Run, entrants_of

_ELITES = (
    "Every mark is an elite. Drag along an axis of the parallel coordinates, or fill in the fields below them, to "
    "select elites; click on one, or go to it by arrow keys and press Enter, to read what it is."
)
# The best ones: a browser is slow with more marks, and where the page would be too large there are fewer.
MOST_ELITES = (3000, 1000, 300, 100)
_LEFT_OUT = (
    "What an elite attends to is not shown: it takes the trained network, which is not loaded for this page."
)


def page_of_run(
    run: Run,
    summary: Sequence[tuple[str, str]],
    round: int,
    objectives: Table | None = None,
    addition: Addition = NOTHING,
) -> bytes:
    """Return the page of a run.

    Parameters
    ----------
    run
        As `archive_store.reading.open_run` opens it.
    summary
        Rows of its summary: name and value.
    round
        The last that is looked at, a committed one.
    objectives
        What is left of the error budgets of its service-level objectives; None: they are left out.
    addition
        What the page has beside that of one that is a file.

    Raises
    ------
    StoreError
        If the run is damaged.
    """
    rounds = _until(run.rounds(), round)
    records, children = _until(run.records(), round), _until(run.children(), round)
    decisions, elites = _until(run.decisions(), round), run.elites(round)
    trees = descent(elites, records, children)
    before = [
        Section("summary", "Summary", [Table("What the run came to", (), list(summary))]),
        Section("space", "Behaviour space", verdicts(_until(run.validity(), round))),
    ]
    after = [
        Section("progress", "Progress", progress(rounds, _until(run.census(), round), run.score_name())),
        Section(
            "lifecycle", "Lifecycle", [*lifecycle(rounds, decisions), *trials(_until(run.trials(), round))]
        ),
        Section("lineage", "Lineage", trees or [Text("There are no elites that descend from anything.")]),
        Section("emitters", "Emitters", emitters(_until(run.emitters(), round))),
        Section("time", "Time and workers", timings(_until(run.timings(), round))),
        *([] if objectives is None else [Section("service-levels", "Service levels", [objectives])]),
        Section("configuration", "Configuration", configuration(_configuration(run))),
        Section("environment", "Environment", [environment(run.environment)]),
    ]
    name = str(plain(run.config.get("name") or run.directory.path.name))
    state = "finished" if run.directory.finished() else "not finished"
    why = list(_reasons(run, rounds, round))

    page = b""
    for most in MOST_ELITES:
        best = [*why, *_elites(run, elites, records, children, round, most)]
        parts = [*before, Section("elites", "Elites", best), *after]
        page = document(name, f"A run of Plasmodia after round {round}, {state}.", parts, addition)
        if len(page) <= MOST_BYTES:
            break
    return page


def _reasons(run: Run, rounds: pd.DataFrame, round: int) -> Iterator[Text]:
    """Yield why cells are empty."""
    with run.directory.journal() as journal:
        counts = entrants_of(journal, run.config, round)
    competitions = len(_until(run.outcomes(), round))
    yield from map(Text, reasons(rounds, competitions, counts, run.measures))


def _elites(
    run: Run, elites: pd.DataFrame, records: pd.DataFrame, children: pd.DataFrame, round: int, most: int
) -> Iterator[Block]:
    if elites.empty:
        yield Text("The archive is empty.")
        return
    if len(elites) > most:
        yield Text(f"The best {most:,} of {len(elites):,} elites are shown.")
    ranges = run.ranges()
    held_out, centroids = _until(run.held_out(), round), np.asarray(run.centroids())
    data = elites_data(elites, held_out, records, children, centroids, run.measures, ranges, most)
    yield Chart("elites", "Elites by their measures", _ELITES, data)
    yield Text(_LEFT_OUT)


def _until(frame: pd.DataFrame, round: int) -> pd.DataFrame:
    """Return the rows up to a round: a live run may have come further since another frame was read."""
    return frame[frame["round"] <= round]


def _configuration(run: Run) -> str:
    data = inside.read(run.directory.path, run.directory.config_path, inside.LARGEST_TEXT)
    return data.decode("utf-8", "replace")
