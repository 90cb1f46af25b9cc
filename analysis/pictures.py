"""The pictures of a run, written into its folder: the same run gives the same bytes."""

import difflib
import io
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import coverage, lifecycle, lineage, parallel, progress, style, validity
from archive_store.reading import Run, open_run
from qd.measures import Ranges

# What each format must leave out (date, versions) for the bytes to depend on the run alone.
FORMATS: Mapping[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_TITLE_WIDTH = 80  # characters
_NO_ROUND = "No round is finished yet."


def draw(run: Path, kinds: Iterable[str] | None = None, format: str = "png") -> list[Path]:
    """Draw pictures of a run, live or finished, into its folder ``plots/``.

    Parameters
    ----------
    run
        Folder of the run.
    kinds
        Which of `KINDS`; None draws all of them.
    format
        ``png``, 1200 pixels wide, or ``svg``.

    Returns
    -------
    The files ``plots/<kind>.<format>``, in the order of the kinds. Each is written whole or not at all.

    Raises
    ------
    ValueError
        If a kind or the format is unknown.
    StoreError
        If the folder is no run, is not calibrated yet, or is damaged.
    """
    chosen = list(KINDS) if kinds is None else [known(kind, KINDS, "picture") for kind in kinds]
    known(format, FORMATS, "format")
    opened = open_run(run)
    opened.calibration()  # every picture needs its ranges or comes after it
    folder = opened.directory.plots_path
    folder.mkdir(exist_ok=True)
    return [_write(folder / f"{kind}.{format}", render(opened, kind, format)) for kind in chosen]


def known(name: str, table: Mapping[str, Any], what: str) -> str:
    """Give back a name that is in the table.

    Raises
    ------
    ValueError
        If it is not: the sentence lists the known names and the nearest.
    """
    if name in table:
        return name
    nearest = difflib.get_close_matches(name, table, n=1, cutoff=0.0)[0]
    raise ValueError(f"there is no {what} {name!r}: known are {', '.join(table)}; the nearest is {nearest!r}")


def render(run: Run, kind: str, format: str) -> bytes:
    """Draw one picture and give the bytes of its file."""
    with matplotlib.style.context(style.QUIET, after_reset=True):  # nothing of the user's matplotlibrc
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        KINDS[kind](run, figure)
        _settle(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=format, metadata=FORMATS[format])
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Let the layout be solved once and round it: the solver's last bits depend on memory addresses."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 4) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _write(path: Path, data: bytes) -> Path:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(data)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def _ranges(run: Run) -> Ranges:
    found = run.calibration()["ranges"]
    return Ranges(tuple(found["low"]), tuple(found["high"]))


def _heading(run: Run, what: str, rounds: pd.DataFrame | None = None) -> str:
    done = run.rounds() if rounds is None else rounds
    last = int(done["round"].max()) if len(done) else 0
    return f"{run.config.get('name', 'run')}: {what}, after round {last} of {run.config.get('rounds', last)}"


def _say(figure: Figure, title: str, text: str) -> None:
    figure.set_size_inches(style.WIDTH, 2.4)
    style.message(figure.subplots(), text)
    _title(figure, title)


def _title(figure: Figure, text: str) -> None:
    broken = textwrap.fill(text, _TITLE_WIDTH)
    figure.suptitle(broken, x=0.01, ha="left", fontsize=10.5, fontweight="bold", parse_math=False)


def _coverage(run: Run, figure: Figure) -> None:
    elites, centroids = run.elites(), run.centroids()
    figure.set_size_inches(style.WIDTH, 8.2)
    axes = figure.subplots(4, 4)
    coverage.pairs(elites, centroids, axes, run.measures, _ranges(run))
    key = figure.add_axes((0.56, 0.56, 0.4, 0.36))
    key.set_in_layout(False)
    coverage.key(elites, centroids, key)
    _title(figure, _heading(run, "cells of behaviour space"))


def _progress(run: Run, figure: Figure) -> None:
    rounds = run.rounds()
    title = _heading(run, "how the archive fills", rounds)
    if not len(rounds):
        return _say(figure, title, _NO_ROUND)
    figure.set_size_inches(style.WIDTH, 3.2)
    axes = figure.subplots(1, 3)
    for curve, panel in zip((progress.coverage, progress.qd_score, progress.objective), axes, strict=True):
        curve(rounds, panel)
    _title(figure, title)
    return None


def _parallel(run: Run, figure: Figure) -> None:
    elites = run.elites()
    figure.set_size_inches(style.WIDTH, 4.6 if len(elites) else 2.4)
    parallel.parallel(elites, run.archive(), figure.subplots(), run.measures, _ranges(run))
    _title(figure, _heading(run, f"the {len(elites)} elites across the measures"))


def _lifecycle(run: Run, figure: Figure) -> None:
    rounds, census = run.rounds(), run.census()
    title = _heading(run, "births and deaths", rounds)
    if not len(rounds):
        return _say(figure, title, _NO_ROUND)
    count = census["organism"].nunique()
    figure.set_size_inches(style.WIDTH, 2.1 + 0.78 * count)
    axes = figure.subplots(count + 1, 1, sharex=True, height_ratios=[1.3, *[1.0] * count])
    lifecycle.lifecycle(rounds, census, run.decisions(), list(axes))
    style.legend_above(axes[0], columns=4)
    quarantined = bool(census["quarantine"].notna().any())
    style.legend_above(axes[1], columns=4, handles=lifecycle.key(quarantined))
    figure.align_ylabels(axes)
    _title(figure, title)
    return None


def _lineage(run: Run, figure: Figure) -> None:
    elites = run.elites()
    axes = lineage.lineage(elites, run.records(), figure.subplots())
    rows = len(axes.get_yticks()) if len(elites) else 0
    figure.set_size_inches(style.WIDTH, max(3.4, 1.3 + 0.17 * rows) if rows else 2.4)
    _title(figure, _heading(run, "the best elites and their ancestors"))


def _validity(run: Run, figure: Figure) -> None:
    checks = run.validity()
    title = _heading(run, "checks of the behaviour space")
    figure.set_size_inches(style.WIDTH, 6.4)
    grid = figure.add_gridspec(2, 2, height_ratios=[1.0, 1.1])
    validity.kmo(checks, figure.add_subplot(grid[0, 0]))
    validity.msa(checks, figure.add_subplot(grid[0, 1]))
    matrix = figure.add_subplot(grid[1, 0])
    validity.correlations(validity.correlation_matrix(checks), matrix)
    matrix.set_title(f"correlations, last check (round {checks['round'].max()})", fontweight="normal")
    low = grid[1, 1].subgridspec(2, 1)
    validity.largest_correlation(checks, figure.add_subplot(low[0]))
    validity.effective_dimension(checks, figure.add_subplot(low[1]))
    _title(figure, title)


# Each takes an opened run and an empty figure, and fills it.
KINDS: Mapping[str, Callable[[Run, Figure], None]] = {
    "coverage": _coverage,
    "progress": _progress,
    "parallel": _parallel,
    "lifecycle": _lifecycle,
    "lineage": _lineage,
    "validity": _validity,
}
