"""A run of Weights & Biases, offline: `wandb sync` sends it, when somebody asks for that."""

import io
from pathlib import Path

import wandb

from archive_store import durable
from runs.errors import RunError, told
from runs.results.trackers.export import refuse_second
from runs.results.trackers.tracked import Tracked

PROJECT = "plasmodia"


def write(run: Tracked, folder: Path) -> Path:
    """Write a run below a folder, and return the path of its own.

    Raises
    ------
    ConfigError
        If it was written there before.
    RunError
        If the library fails.
    """
    refuse_second(folder, next(iter(sorted((folder / "wandb").glob(f"offline-run-*-{run.identity}"))), None))
    durable.make_directory(folder.absolute())
    try:
        with wandb.init(
            project=PROJECT,
            dir=str(folder),
            id=run.identity,
            name=run.name,
            config=dict(run.settings),
            tags=[],
            mode="offline",
            reinit="create_new",
            settings=_quiet(),
        ) as writing:
            writing.config.update({f"tag.{name}": value for name, value in run.tags.items()})
            for point in run.points:
                moment = {} if point.at is None else {"committed_at": point.at}
                writing.log({**point.values, **moment}, step=point.round)
            if run.pictures:
                writing.log({f"plots/{name}": _picture(data) for name, data in run.pictures.items()})
            place = Path(writing.dir).absolute().parent
    except (wandb.Error, wandb.errors.UsageError) as error:
        raise RunError(f"wandb did not write the run: {told(error)}") from error
    finally:
        wandb.teardown()
    return folder / place.relative_to(folder.absolute())


def _quiet() -> wandb.Settings:
    """Return settings under which it says nothing, and takes nothing from the machine."""
    return wandb.Settings(
        console="off",
        silent=True,
        disable_code=True,
        disable_git=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )


def _picture(data: bytes) -> wandb.Image:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return wandb.Image(image.copy())
