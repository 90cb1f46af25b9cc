"""A calibration shared between runs, so that their archives can be compared cell by cell."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archive_store.encoding import decode_centroids
from archive_store.journal.journal import BASE
from archive_store.run_directory import RunDirectory
from runs.calibration.constants import Calibration
from runs.calibration.stored import check_format
from runs.config.schema import Config, scientific
from runs.errors import RunError, readable
from runs.machine.fingerprint import differences
from runs.training.world import WorldSpec

SECTIONS = (
    "measures",
    "task",
    "organism",
    "training",
    "calibration",
    "archive",
)  # must agree between the two


def borrowed(path: Path, config: Config, data: str, spec: WorldSpec) -> tuple[WorldSpec, Calibration]:
    """Take interface, hosts, ranges and centroids from another run.

    Raises
    ------
    RunError
        If that run's format, data or the sections that calibration depends on are not the same.
    """
    directory = RunDirectory.open(path)
    with directory.journal() as journal:
        check_format(path, journal)
        text = journal.meta(BASE) or "{}"
        events = [event.value for event in journal.events(0, "calibration")]
    if not events:
        raise RunError(f"calibration.from: {path} has no calibration in its journal")
    with readable(f"what the journal of {path} begins with"):
        base = json.loads(text)
        theirs = _relevant(base.get("config", {}), base.get("data"))
        different = differences(theirs, _relevant(scientific(config), data))
        interface, hosts, centroids = (events[0][name] for name in ("interface", "hosts", "centroids"))
    if different:
        raise RunError(f"the calibration of {path} does not fit this run: {'; '.join(different)}")
    blobs = directory.blobs
    spec = replace(spec, interface=blobs.get(interface), hosts=tuple(blobs.get(host) for host in hosts))
    return spec, Calibration.read(events[0], decode_centroids(blobs.get(centroids)))


def _relevant(values: Mapping[str, Any], data: Any) -> dict[str, Any]:
    sections = {name: values.get(name) for name in SECTIONS}
    calibration = dict(sections["calibration"] or {})
    calibration.pop("from", None)
    organism = dict(sections["organism"] or {})
    organism.pop("count", None)
    return {**sections, "calibration": calibration, "organism": organism, "data": data}
