"""The dashboard of a training as a picture in its folder, drawn again while it goes on."""

from pathlib import Path

from analysis.models.dashboard import dashboard
from analysis.rendering import rendered
from archive_store import durable
from runs.machine.clock import Clock
from runs.models.config import TrainConfig
from runs.models.fit import log
from runs.models.fit.folder import TrainingFolder
from runs.observability.fitting import FitProgress

SHARE = 0.02  # of the time that drawing may take


def draw(
    folder: TrainingFolder, config: TrainConfig, score_name: str, format: str = "png", to: Path | None = None
) -> Path:
    """Draw what the log has so far, and return the path of the picture.

    Parameters
    ----------
    folder
        Of the training.
    config
        Of the training.
    score_name
        ``accuracy`` or ``R2``.
    format
        ``png`` or ``svg``.
    to
        Folder of the picture; None: ``plots`` in that of the training.

    Raises
    ------
    WriteError
        If the disk does not take it.
    """
    records = log.read(folder.log)
    step = records[-1]["step"] if records else 0
    title = f"{config.run_name}: training, step {step} of {config.sched.total_steps}"
    picture = rendered(lambda figure: dashboard(records, score_name, title, figure), format)
    path = (to or folder.path / "plots") / f"dashboard.{format}"
    durable.make_directory(path.parent)
    durable.place(path, picture)
    return path


class Live:
    """Draws the dashboard again after evaluations, for at most a fiftieth of the time.

    Parameters
    ----------
    folder, config
        Of the training.
    clock
        Monotonic seconds.
    """

    def __init__(self, folder: TrainingFolder, config: TrainConfig, clock: Clock) -> None:
        self._folder, self._config, self._clock = folder, config, clock
        self._drawn: float | None = None  # validation loss of the last picture
        self._next = 0.0  # no earlier than this

    def __call__(self, progress: FitProgress) -> None:
        """Draw, where something new was evaluated and it is time."""
        now = self._clock()
        if progress.validation_loss is None or progress.validation_loss == self._drawn or now < self._next:
            return
        draw(self._folder, self._config, progress.score_name)
        self._drawn, ended = progress.validation_loss, self._clock()
        self._next = ended + (ended - now) / SHARE
