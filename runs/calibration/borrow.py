"""A calibration borrowed from another run, so that their archives can be compared cell by cell."""

from pathlib import Path

from archive_store.run_directory import RunDirectory
from runs.calibration.constants import Calibration
from runs.calibration.relevance import relevant
from runs.calibration.stored import constants_of, journaled, with_calibrated
from runs.config.schema import Config, scientific
from runs.errors import RunError, readable
from runs.machine.fingerprint import differences
from runs.training.world import WorldSpec


def borrowed(path: Path, config: Config, data: str, spec: WorldSpec) -> tuple[WorldSpec, Calibration]:
    """Return a world with interface and hosts of another run, and that run's constants.

    Parameters
    ----------
    path
        Directory of the other run.
    config
        Of this run.
    data
        Digest of this run's task.
    spec
        This run's world, without interface and hosts.

    Raises
    ------
    RunError
        If that run's format, data or the sections that calibration depends on are not the same.
    """
    directory = RunDirectory.open(path)
    with directory.journal() as journal:
        base, event = journaled(directory, journal)
    with readable(f"what the journal of {path} begins with"):
        theirs = relevant(base.get("config", {})) | {"data": base.get("data")}
        kind = theirs["organism"].get("kind")
        different = differences(theirs, relevant(scientific(config)) | {"data": data})
    if kind != config.organism.kind:
        raise RunError(f"the calibration of {path} is of the family {kind}, not {config.organism.kind}")
    if different:
        raise RunError(f"the calibration of {path} does not fit this run: {'; '.join(different)}")
    return with_calibrated(spec, event, directory.blobs), constants_of(event, directory.blobs)
