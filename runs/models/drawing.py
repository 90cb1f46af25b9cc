"""The pictures of a model that is kept: of a training its dashboard too."""

from collections.abc import Sequence
from pathlib import Path

from analysis.rendering import FORMATS, NothingToDraw
from runs.config.problems import nearest
from runs.errors import ConfigError
from runs.models import pictures
from runs.models.fit import dashboard
from runs.models.fit.folder import TrainingFolder
from runs.models.fit.reading import load
from runs.models.keeping.data import CONFIG, task_of
from runs.models.opening import kind_of, module_of

DASHBOARD = "dashboard"
KINDS = (DASHBOARD, *pictures.PICTURES)


def drawn(
    path: Path, kinds: Sequence[str] | None = None, format: str = "png", to: Path | None = None
) -> list[Path]:
    """Draw a checkpoint, a training or a run, and return the paths of the files.

    Parameters
    ----------
    path
        The folder; of a training the best checkpoint is drawn.
    kinds
        Names in `KINDS`; None: all that there is something for.
    format
        ``png`` or ``svg``.
    to
        Folder of the files; None: ``plots`` in the folder of the training or the run, beside a checkpoint.

    Raises
    ------
    ConfigError
        If the folder keeps no model, a name is unknown, or there is nothing to draw.
    RunError, StoreError
        If it is damaged, or has no model yet.
    """
    if format not in FORMATS:
        raise ConfigError(f"--format must be {' or '.join(FORMATS)}, not {format}")
    for name in kinds or ():
        if name not in KINDS:
            raise ConfigError(
                f"no picture is called {name}; known are {', '.join(KINDS)}{nearest(name, KINDS)}"
            )
    kept = kind_of(path)
    if kinds and DASHBOARD in kinds and kept != "training":
        raise ConfigError(f"only a training has a dashboard, and {path} is a {kept}; leave it out")
    module, *_ = module_of(path)
    task = task_of(path)
    place = to or (path.with_name(f"{path.name}-plots") if kept == "checkpoint" else path / "plots")
    found = []
    if kept == "training" and (kinds is None or DASHBOARD in kinds):
        config = load(str(path / CONFIG))
        found.append(dashboard.draw(TrainingFolder(path), config, task.score_name, format, place))
    name = path.resolve().name
    try:
        for which in [kind for kind in kinds if kind != DASHBOARD] if kinds else [None]:
            found += pictures.draw(module, task, place, name, which, format)
    except NothingToDraw as error:
        if kinds or not found:
            raise ConfigError(str(error)) from error
    return found
