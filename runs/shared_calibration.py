"""A calibration shared between runs, so that their archives can be compared cell by cell."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archive_store.encoding import decode
from archive_store.journal import BASE
from archive_store.run_directory import RunDirectory
from runs.calibration import Calibration
from runs.config import Config, scientific
from runs.environment import differences
from runs.errors import RunError
from runs.prepared import check_format
from runs.world import WorldSpec

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
        base = json.loads(journal.meta(BASE) or "{}")
        events = [event.value for event in journal.events(0, "calibration")]
    if not events:
        raise RunError(f"calibration.from: {path} has no calibration in its journal")
    different = differences(
        _relevant(base.get("config", {}), base.get("data")), _relevant(scientific(config), data)
    )
    if different:
        raise RunError(f"the calibration of {path} does not fit this run: {'; '.join(different)}")
    blobs, event = directory.blobs, events[0]
    hosts = tuple(blobs.get(host) for host in event["hosts"])
    spec = replace(spec, interface=blobs.get(event["interface"]), hosts=hosts)
    return spec, Calibration.read(event, decode(blobs.get(event["centroids"]))[0]["centroids"])


def _relevant(values: Mapping[str, Any], data: Any) -> dict[str, Any]:
    sections = {name: values.get(name) for name in SECTIONS}
    calibration = dict(sections["calibration"] or {})
    calibration.pop("from", None)
    organism = dict(sections["organism"] or {})
    organism.pop("count", None)
    return {**sections, "calibration": calibration, "organism": organism, "data": data}
