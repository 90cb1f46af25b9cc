"""A run of MLflow in a local file store: ``mlflow ui --backend-store-uri FOLDER`` shows it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from archive_store import durable
from runs.errors import RunError, told
from runs.results.trackers.export import refuse_second
from runs.results.trackers.tracked import Tracked

EXPERIMENT, IDENTITY = "plasmodia", "plasmodia.identity"
_MOST_METRICS, _MOST_PARAMS = 1000, 100  # of one request
_KEPT = "MLFLOW_ALLOW_FILE_STORE"  # MLflow prefers a database, and asks for this where files are wanted
_T = TypeVar("_T")


def write(run: Tracked, folder: Path) -> Path:
    """Write a run into the store of a folder, and return the path of its own.

    Raises
    ------
    ConfigError
        If it was written there before.
    RunError
        If the library fails.
    """
    os.environ.setdefault(_KEPT, "true")
    durable.make_directory(folder.absolute())
    try:
        client = MlflowClient(tracking_uri=folder.absolute().as_uri())
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        before = client.search_runs([experiment], f"tags.`{IDENTITY}` = '{run.identity}'", max_results=1)
        refuse_second(folder, folder / experiment / before[0].info.run_id if before else None)
        return folder / experiment / _written(client, experiment, run)
    except MlflowException as error:
        raise RunError(f"mlflow did not write the run: {told(error)}") from error


def _written(client: MlflowClient, experiment: str, run: Tracked) -> str:
    """Write a run and return the name that MLflow gives it."""
    moments = [round(point.at * 1000) for point in run.points if point.at is not None] or [0]
    tags = {f"plasmodia.{name}": value for name, value in run.tags.items()} | {IDENTITY: run.identity}
    made = client.create_run(experiment, start_time=moments[0], tags=tags, run_name=run.name).info.run_id
    metrics = (
        Metric(name, value, moments[0] if point.at is None else round(point.at * 1000), point.round)
        for point in run.points
        for name, value in point.values.items()
    )
    for some in _in_parts(metrics, _MOST_METRICS):
        client.log_batch(made, metrics=some)
    for settings in _in_parts((Param(key, str(value)) for key, value in run.settings.items()), _MOST_PARAMS):
        client.log_batch(made, params=settings)
    with tempfile.TemporaryDirectory() as place:
        for name, data in run.pictures.items():
            path = Path(place, f"{name}.png")
            path.write_bytes(data)
            client.log_artifact(made, str(path), "plots")
    client.set_terminated(made, end_time=moments[-1])
    return made


def _in_parts(items: Iterator[_T], size: int) -> Iterator[Sequence[_T]]:
    while some := list(islice(items, size)):
        yield some
