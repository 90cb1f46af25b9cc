"""The picture of an experiment, written into its folder."""

from pathlib import Path

from archive_store import durable, inside
from archive_store.errors import WriteError
from runs.errors import RunError
from runs.experiments.folder import ExperimentFolder
from runs.experiments.plan import Plan
from runs.experiments.reading import courses_in, found_in


def draw(folder: ExperimentFolder, plan: Plan, format: str, to: Path | None) -> Path:
    """Draw the curves of the arms and return the file.

    Parameters
    ----------
    folder, plan
        The experiment.
    format
        ``png`` or ``svg``.
    to
        Folder of the file; None: ``plots`` in the experiment.

    Raises
    ------
    RunError
        If no run is finished yet, or the file cannot be written.
    StoreError
        If a run is damaged.
    """
    from analysis.curves import curves
    from analysis.pictures import rendered, titled

    score = found_in(folder, plan).score
    seeds = len(plan.seeds)
    title = f"{plan.name}: {len(plan.arms)} arms, {seeds} seeds; mean and its 95 % interval"

    data = rendered(lambda figure: titled(curves(courses_in(folder, plan), figure, score), title), format)
    place = folder.plots_path if to is None else to
    if to is None:
        inside.check_folder(folder.path, place)
    path = place / f"curves.{format}"
    try:
        durable.make_directory(place)
        durable.place(path, data)
    except WriteError as error:
        raise RunError(f"{path} cannot be written: {error.reason}; choose another --to") from None
    return path
