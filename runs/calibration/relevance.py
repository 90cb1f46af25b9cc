"""What of a configuration a calibration depends on: where it is the same, runs can share one."""

from collections.abc import Mapping
from typing import Any

SECTIONS = ("measures", "task", "organism", "training", "calibration", "archive")


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
