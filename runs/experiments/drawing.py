"""The pictures of an experiment, written into its folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from archive_store import durable, inside
from archive_store.errors import WriteError
from runs.errors import RunError
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import degradation
from runs.experiments.further.profiles import drawn
from runs.experiments.plan import Plan
from runs.experiments.reading import courses_in, found_in

Filling = tuple[str, Callable[[Any], None]]  # name of a picture, and what fills a figure of matplotlib's


def draw(folder: ExperimentFolder, plan: Plan, format: str, to: Path | None) -> list[Path]:
    """Draw the arms and return the files: curves, performance profiles and, where it was measured, degradation.

    Parameters
    ----------
    folder, plan
        The experiment.
    format
        ``png`` or ``svg``.
    to
        Folder of the files; None: ``plots`` in the experiment.

    Raises
    ------
    RunError
        If no run is finished yet, or a file cannot be written.
    StoreError
        If a run is damaged.
    """
    from analysis.rendering import rendered

    found = [(name, rendered(fill, format)) for name, fill in _pictures(folder, plan)]
    place = folder.plots_path if to is None else to
    if to is None:
        inside.check_folder(folder.path, place)
    path = place
    try:
        durable.make_directory(place)
        for name, data in found:
            path = place / f"{name}.{format}"
            durable.place(path, data)
    except WriteError as error:
        raise RunError(f"{path} cannot be written: {error.reason}; choose another --to") from None
    return [place / f"{name}.{format}" for name, _ in found]


def _pictures(folder: ExperimentFolder, plan: Plan) -> Iterator[Filling]:
    """Yield each picture's name, and what fills a figure with it."""
    from analysis.experiments.curves import curves
    from analysis.experiments.degradation import degradation as degrading
    from analysis.experiments.profiles import profiles
    from analysis.rendering import titled

    found = found_in(folder, plan)
    whole = f"{plan.name}: {len(plan.arms)} arms, {len(plan.seeds)} seeds"
    courses = courses_in(folder, plan)
    title = f"{whole}; mean and its 95 % interval"
    yield "curves", lambda figure: titled(curves(courses, figure, found.score), title)
    if shares := drawn(found.results, found.score):
        yield "profiles", lambda figure: titled(profiles(shares, figure), f"{whole}; performance profiles")
    if orders := degradation.curves(degradation.kept(folder), plan):
        falls = f"{whole}; scores as parts are removed"
        yield "degradation", lambda figure: titled(degrading(orders, figure, found.score), falls)
