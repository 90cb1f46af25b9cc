"""The pictures of a run, written into its folder: the same run gives the same bytes."""

import difflib
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis import (
    coverage,
    emergence,
    emitters,
    emptiness,
    lifecycle,
    lineage,
    parallel,
    predictions,
    progress,
    style,
    utilisation,
    validity,
)
from analysis.emergence import Emergence
from analysis.predictions import Predictions
from analysis.rendering import FORMATS, NothingToDraw, rendered, titled
from archive_store import durable
from archive_store.frames import best_organism
from archive_store.reading import Run, entrants_of, open_run
from archive_store.shown import shown
from qd.validity.findings import FEWEST_FOR_KMO

_NOTE_WIDTH = 125  # characters
MOST_PANELS, MOST_ROWS = 64, 1000  # of organisms and of slots in one picture
_NO_ROUND = "No round is finished yet."


Picture = Callable[[Run, Figure], None]  # takes an opened run and an empty figure, and fills it


def draw(
    run: Path,
    kinds: Iterable[str] | None = None,
    format: str = "png",
    more: Mapping[str, Picture] = MappingProxyType({}),
    *,
    folder: Path | None = None,
    failed: Callable[[str, Exception], None] | None = None,
) -> list[Path]:
    """Draw pictures of a run, live or finished, into its folder ``plots/`` or another one.

    Parameters
    ----------
    run
        Folder of the run.
    kinds
        Which of `KINDS` and `more`; None draws all for which the run has something to draw.
    format
        ``png``, 1200 pixels wide, or ``svg``.
    more
        Further kinds, for which more is needed than the folder holds.
    folder
        Where the files go; None: ``plots/`` in the run.
    failed
        Called with kind and error of each picture that cannot be drawn; None: the first error is raised.

    Returns
    -------
    The files ``<folder>/<kind>.<format>``, in the order of the kinds. Each is written whole or not at all.

    Raises
    ------
    ValueError
        If a kind or the format is unknown.
    NothingToDraw
        If the run has nothing to draw for one of the kinds that were asked for.
    StoreError
        If the folder is no run, is not calibrated yet, or is damaged.
    """
    table = {**KINDS, **more}
    chosen = list(table) if kinds is None else [known(kind, table, "picture") for kind in kinds]
    known(format, FORMATS, "format")
    opened = open_run(run)
    opened.calibration()  # every picture needs its ranges or comes after it
    drawn = {}
    for kind in chosen:
        try:
            drawn[kind] = render(opened, table[kind], format)
        except NothingToDraw:
            if kinds is not None:
                raise
        except Exception as error:
            if failed is None:
                raise
            failed(kind, error)
    if folder is None:
        folder = opened.directory.make_plots_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / f"{kind}.{format}", data) for kind, data in drawn.items()]


def known(name: str, table: Mapping[str, Any], what: str) -> str:
    """Return a name that is in the table.

    Parameters
    ----------
    name
        What was asked for.
    table
        Its keys are the known names.
    what
        What they are names of, for the error.

    Raises
    ------
    ValueError
        If it is not: the sentence lists the known names and the nearest.
    """
    if name in table:
        return name
    nearest = difflib.get_close_matches(name, table, n=1, cutoff=0.0)[0]
    raise ValueError(f"there is no {what} {name!r}: known are {', '.join(table)}; the nearest is {nearest!r}")


def render(run: Run, picture: Picture, format: str) -> bytes:
    """Return the bytes of the file of one picture.

    Parameters
    ----------
    run
        What to draw.
    picture
        Fills the figure.
    format
        One of `FORMATS`.
    """
    return rendered(lambda figure: picture(run, figure), format)


def _write(path: Path, data: bytes) -> Path:
    durable.place(path, data)
    return path


def _heading(run: Run, what: str, rounds: pd.DataFrame | None = None) -> str:
    done = run.rounds() if rounds is None else rounds
    last = int(done["round"].max()) if len(done) else 0
    name, planned = (shown(run.config.get(*each), 60) for each in (("name", "run"), ("rounds", last)))
    return f"{name}: {what}, round {last} of {planned}"


def _instead(figure: Figure, title: str, text: str) -> None:
    figure.set_size_inches(style.WIDTH, 2.4)
    style.message(figure.subplots(), text)
    titled(figure, title)


def _coverage(run: Run, figure: Figure) -> None:
    elites, centroids, measures, ranges = run.elites(), run.centroids(), run.measures, run.ranges()
    passed = emptiness.visited(run.records(), centroids, measures, ranges)
    lines = [line for text in _reasons(run) for line in textwrap.wrap(text, _NOTE_WIDTH)]
    below = 0.16 * len(lines)  # inches
    if len(measures) == 2:
        figure.set_size_inches(style.WIDTH, 5.2 + below)
        grid = figure.add_gridspec(1, 2, width_ratios=[1.4, 1.0])
        coverage.heatmap(run.archive(), figure.add_subplot(grid[0]), measures, ranges, passed)
    else:
        side = len(measures) - 1
        figure.set_size_inches(style.WIDTH, 8.2 + below)
        coverage.pairs(elites, centroids, figure.subplots(side, side), measures, ranges, passed)
    key = figure.add_axes(coverage.corner(len(measures)))
    key.set_in_layout(False)
    coverage.key(elites, centroids, key, passed)
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7.5)
    titled(figure, _heading(run, "cells of behaviour space"))
    if len(measures) == 2:  # where the labels of square axes end is only known once they are square
        figure.draw_without_rendering()


def _reasons(run: Run) -> list[str]:
    """Return what keeps cells empty, in sentences."""
    rounds = run.rounds()
    if not len(rounds):
        return [_NO_ROUND]
    with run.directory.journal() as journal:
        counts = entrants_of(journal, run.config, int(rounds["round"].max()))
    return list(emptiness.reasons(rounds, len(run.outcomes()), counts, run.measures))


def _progress(run: Run, figure: Figure) -> None:
    rounds = run.rounds()
    title = _heading(run, "what is learnt, and how the archive fills", rounds)
    if not len(rounds):
        return _instead(figure, title, _NO_ROUND)
    records = run.records()
    known = [column for column in progress.PROPERTIES if records[column].notna().any()]
    figure.set_size_inches(style.WIDTH, 8.2 if known else 5.8)
    grid = figure.add_gridspec(3 if known else 2, 6)  # two panels over three, over three of parts
    progress.loss(rounds, run.census(), figure.add_subplot(grid[0, :3]))
    progress.score(rounds, figure.add_subplot(grid[0, 3:]), run.score_name())
    for place, curve in enumerate((progress.coverage, progress.qd_score, progress.objective)):
        curve(rounds, figure.add_subplot(grid[1, 2 * place : 2 * place + 2]))
    for place, column in enumerate(known):
        progress.parts(records, figure.add_subplot(grid[2, 2 * place : 2 * place + 2]), column)
    titled(figure, title)
    return None


def _parallel(run: Run, figure: Figure) -> None:
    elites = run.elites()
    figure.set_size_inches(style.WIDTH, 4.6 if len(elites) else 2.4)
    parallel.parallel(elites, run.archive(), figure.subplots(), run.measures, run.ranges())
    titled(figure, _heading(run, f"the {len(elites)} elites across the measures"))


def _emitters(run: Run, figure: Figure) -> None:
    chunks, rounds = run.emitters(), run.rounds()
    title = _heading(run, "what emitters bring to the archive", rounds)
    if not len(rounds):
        return _instead(figure, title, _NO_ROUND)
    if not len(chunks):
        raise NothingToDraw(
            "no emitter has made a child yet (emitters.children, and an archive that is empty)"
        )
    figure.set_size_inches(style.WIDTH, 3.6)
    again = run.held_out()
    panels = figure.subplots(1, 2 + (len(again) > 0), squeeze=False)[0]
    emitters.gain(chunks, panels[0])
    emitters.children(chunks, panels[1])
    if len(again):
        last = int(again["round"].max())
        emitters.held_out(run.elites(last), again[again["round"] == last], chunks, panels[2])
    titled(figure, title)
    return None


def _lifecycle(run: Run, figure: Figure) -> None:
    rounds, census = run.rounds(), run.census()
    title = _heading(run, "births and deaths", rounds)
    if not len(rounds):
        return _instead(figure, title, _NO_ROUND)
    numbers = sorted(census["organism"].unique())
    if len(numbers) > MOST_PANELS:
        title += f" (the first {MOST_PANELS} of {len(numbers)} organisms)"
        census = census[census["organism"].isin(numbers[:MOST_PANELS])]
    count = census["organism"].nunique()
    decisions = run.decisions()
    died = lifecycle.dead(census, decisions)
    lines = lifecycle.roll(died)
    figure.set_size_inches(style.WIDTH, 2.2 + 0.78 * count + 0.12 * len(lines))
    axes = figure.subplots(count + 1, 1, sharex=True, height_ratios=[1.3, *[1.0] * count])
    lifecycle.lifecycle(rounds, census, decisions, list(axes))
    lifecycle.obituary(lines, axes[-1])
    style.legend_above(axes[0], columns=4)
    quarantined = bool(census["quarantine"].notna().any())
    entries = lifecycle.key(
        quarantined, bool(died["reason"].isin((lifecycle.BUDGET, lifecycle.MEMORY)).any())
    )
    style.legend_above(axes[1], columns=5, handles=entries)
    figure.align_ylabels(axes)
    titled(figure, title)
    return None


def _lineage(run: Run, figure: Figure) -> None:
    elites = run.elites()
    axes = lineage.lineage(elites, run.records(), run.children(), figure.subplots())
    rows = len(axes.get_yticks()) if len(elites) else 0
    figure.set_size_inches(style.WIDTH, max(3.4, 1.3 + 0.17 * rows) if rows else 2.4)
    titled(figure, _heading(run, "the best elites and their ancestors"))


def _validity(run: Run, figure: Figure) -> None:
    checks = run.validity()
    title = _heading(run, "checks of the behaviour space")
    figure.set_size_inches(style.WIDTH, 6.4)
    grid = figure.add_gridspec(2, 2, height_ratios=[1.0, 1.1])
    first = figure.add_subplot(grid[0, 0])
    if len(run.measures) < FEWEST_FOR_KMO:
        validity.verdicts(checks, first)
        right = grid[:, 1].subgridspec(2, 1, height_ratios=[1.0, 1.1])
    else:
        validity.kmo(checks, first)
        validity.msa(checks, figure.add_subplot(grid[0, 1]))
        right = grid[1, 1].subgridspec(2, 1)
    validity.sizes(checks, first)
    matrix = figure.add_subplot(grid[1, 0])
    validity.correlations(validity.correlation_matrix(checks), matrix)
    matrix.set_title(f"correlations, last check (round {checks['round'].max()})", fontweight="normal")
    validity.largest_correlation(checks, figure.add_subplot(right[0]))
    validity.effective_dimension(checks, figure.add_subplot(right[1]))
    titled(figure, title)


def _utilisation(run: Run, figure: Figure) -> None:
    organism = best_organism(run.census())
    own = None if organism is None else utilisation.of_organism(run.records(), organism)
    if own is None or own.empty:
        raise NothingToDraw(
            f"{run.directory.path} has no utilisation to draw: no finished round, or components of a family "
            "that all answer every token"
        )
    if own["slot"].nunique() > MOST_ROWS:
        raise NothingToDraw(
            f"{run.directory.path} has components in {own['slot'].nunique()} slots of organism {organism}, and a "
            f"picture of utilisation has room for {MOST_ROWS}"
        )
    heights = [1.6, 0.23 * own["slot"].nunique(), 0.1]  # inches
    figure.set_size_inches(style.WIDTH, 2.2 + sum(heights))
    axes = figure.subplots(3, 2, width_ratios=[1.7, 1.0], height_ratios=heights)
    utilisation.balance(own, axes[0, 0]).set_xlabel("")
    axes[0, 1].set_axis_off()
    axes[0, 1].legend(handles=utilisation.key(), loc="center left")
    utilisation.strips(own, axes[1, 0], axes[2, 0])
    utilisation.matrix(own, axes[1, 1], axes[2, 1])
    titled(figure, _heading(run, f"which components of organism {organism} answer what"))


def predicted(shown: Predictions, run: Run, figure: Figure) -> None:
    """Fill a figure with what an organism predicts, which is computed and not read from the folder of a run.

    Parameters
    ----------
    shown
        What to draw.
    run
        The organism's, for the title.
    figure
        An empty one.
    """
    predictions.fill(shown.kinds, figure)
    rounds = run.rounds()
    until = rounds[rounds["round"] <= shown.round]
    titled(figure, _heading(run, f"predictions of organism {shown.organism} for test examples", until))


def emerged(shown: Emergence, run: Run, figure: Figure) -> None:
    """Fill a figure with what the parts of an organism are alone and together, which is computed and not read.

    Parameters
    ----------
    shown
        What to draw.
    run
        The organism's, for the title.
    figure
        An empty one.
    """
    figure.set_size_inches(style.WIDTH, 2.9)
    emergence.scores(shown, figure.subplots())
    rounds = run.rounds()
    until = rounds[rounds["round"] <= shown.round]
    titled(figure, _heading(run, f"the parts of organism {shown.organism}, alone and together", until))


def _trials(run: Run, figure: Figure) -> None:
    found = run.shadows()
    if found.empty:
        raise NothingToDraw(
            f"{run.directory.path} has no shadows of births; launch with execution.trials above 0"
        )
    figure.set_size_inches(style.WIDTH, 3.6)
    lifecycle.worth(found, figure.subplots(1, 3, sharey=True))
    births = len(found.groupby(["organism", "round", "slot"]))
    titled(figure, _heading(run, f"what {births} births were worth, and what else was worth"))


KINDS: Mapping[str, Picture] = {
    "coverage": _coverage,
    "progress": _progress,
    "emitters": _emitters,
    "parallel": _parallel,
    "lifecycle": _lifecycle,
    "trials": _trials,
    "lineage": _lineage,
    "validity": _validity,
    "utilisation": _utilisation,
}
