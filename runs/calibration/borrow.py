"""A calibration borrowed from another run, so that their archives can be compared cell by cell."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archive_store.run_directory import RunDirectory
from runs.calibration.constants import Calibration
from runs.calibration.stored import constants_of, journaled, with_calibrated
from runs.config.schema import Config, scientific
from runs.errors import RunError, readable
from runs.machine.fingerprint import differences
from runs.training.world import WorldSpec

# What must agree between the two.
SECTIONS = ("measures", "task", "organism", "training", "calibration", "archive")


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


def relevant(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration (`runs.config.schema.scientific`) that a calibration depends on."""
    sections = {name: values.get(name) for name in SECTIONS}
    calibration = dict(sections["calibration"] or {})
    calibration.pop("from", None)
    organism = dict(sections["organism"] or {})
    organism.pop("count", None)
    archive = dict(sections["archive"] or {})
    archive.pop("rescore_every", None)
    return {**sections, "calibration": calibration, "organism": organism, "archive": archive}
