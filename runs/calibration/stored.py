"""A calibration in the journal and the blobs: written with round 0, and read back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archive_store.encoding import decode_centroids
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import BASE, SCORE_NAME, WALL, Journal, Timing
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical
from runs.calibration.constants import Calibration
from runs.config.schema import Config, scientific
from runs.config.schema import plain as plain_config
from runs.errors import RunError, readable
from runs.machine import fingerprint
from runs.machine.fingerprint import differences
from runs.prepared import Prepared
from runs.training.world import WorldSpec

FORMAT = 2  # of the journal's content and the states; part of every digest


def base_text(prepared: Prepared, centroids: str) -> str:
    """Write what round 0 is chained to: format, configuration without execution, data and centroids."""
    return canonical(
        {
            "format": FORMAT,
            "config": scientific(prepared.config),
            "data": prepared.data,
            "centroids": centroids,
        }
    )


def check_format(path: Path, journal: Journal) -> None:
    """Check that a run's journal and states mean what this version takes them for.

    Raises
    ------
    RunError
        If another version wrote them.
    """
    with readable(f"what the journal of {path} begins with"):
        made = json.loads(journal.meta(BASE) or "{}").get("format", FORMAT)
    if made != FORMAT:
        raise RunError(
            f"{path} has the content of format {made} and this version works with format {FORMAT}; "
            "use the version that launched it"
        )


def _calibration(directory: RunDirectory, journal: Journal, config: Config) -> Calibration:
    events = list(journal.events(0, "calibration"))
    if not events:
        raise RunError(f"{directory.path} has no calibration in its journal; launch it again")
    with readable("what the journal begins with"):
        base = json.loads(journal.meta(BASE) or "{}")
        different = differences(base.get("config", {}), scientific(config))
        centroids = str(events[0].value["centroids"])
    if different:
        raise RunError(f"{directory.path} was launched with other settings: {'; '.join(different)}")
    return Calibration.read(events[0].value, decode_centroids(directory.blobs.get(centroids)))


def stored(directory: RunDirectory, journal: Journal, prepared: Prepared) -> tuple[Calibration, WorldSpec]:
    """Read calibration, interface and hosts back.

    Raises
    ------
    RunError
        As `calibrated`.
    """
    event, blobs = calibrated(directory, journal, prepared), directory.blobs
    centroids = decode_centroids(blobs.get(event["centroids"]))
    spec = WorldSpec(
        plain_config(prepared.config),
        prepared.corpus,
        prepared.data,
        blobs.get(event["interface"]),
        tuple(blobs.get(host) for host in event["hosts"]),
    )
    return Calibration.read(event, centroids), spec


def calibrated(directory: RunDirectory, journal: Journal, prepared: Prepared) -> Mapping[str, Any]:
    """Give what the journal says of calibration, and check that format, configuration and data are the run's.

    Raises
    ------
    RunError
        If the journal has no calibration, or format, configuration or data are not those of the run.
    """
    check_format(directory.path, journal)
    base = journal.meta(BASE)
    events = list(journal.events(0, "calibration"))
    if base is None or not events:
        raise RunError(f"{directory.path} has no calibration in its journal; launch it again")
    event = events[0].value
    with readable("the calibration in the journal"):
        if not (isinstance(event["interface"], str) and isinstance(event["hosts"], list)):
            raise ValueError("interface and hosts are named by digests")
        ours = json.loads(base_text(prepared, event["centroids"]))
        different = fingerprint.differences(json.loads(base), ours)
    if different:
        raise RunError(f"{directory.path} was launched with other settings or data: {'; '.join(different)}")
    return event


def write_round_0(
    directory: RunDirectory, prepared: Prepared, calibration: Calibration, spec: WorldSpec, seconds: float
) -> None:
    """Store what calibration found, and journal it."""
    assert spec.interface is not None
    event = calibration.event(spec)
    directory.blobs.put_all([spec.interface, *spec.hosts, calibration.encoded_centroids()])
    with Journal.create(directory.journal_path) as journal:
        base = base_text(prepared, event["centroids"])
        journal.put_meta(BASE, base)
        journal.put_meta(SCORE_NAME, prepared.score_name)
        events = numbered(0, [("calibration", event)])
        timing = Timing(organism=None, name=WALL, seconds=seconds, worker="driver")
        journal.write_round(0, events, {}, [timing], round_digest(base, events))
