"""A calibration in the journal and the blobs: written with round 0, checked, and read back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archive_store.blobs import BlobStore
from archive_store.encoding import decode_centroids
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import BASE, SCORE_NAME, WALL, Journal, Timing
from archive_store.journal.segments import pending, segments
from archive_store.journal.values import checked
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical
from runs.calibration.constants import Calibration
from runs.config.reader import config_from, read_config
from runs.config.schema import Config, scientific
from runs.errors import RunError, readable
from runs.machine.fingerprint import differences
from runs.prepared import Prepared
from runs.training.world import WorldSpec

FORMAT = 4  # of the journal's content and the states; part of every digest


def write_round_0(
    directory: RunDirectory, prepared: Prepared, calibration: Calibration, spec: WorldSpec, seconds: float
) -> None:
    """Store what calibration found, and journal it.

    Parameters
    ----------
    directory
        Of the new run, without a journal yet.
    prepared
        The run's configuration, the digest of its data and the name of its score.
    calibration, spec
        What calibration found, and the world with the interface and the hosts that it trained.
    seconds
        How long it took.
    """
    assert spec.interface is not None
    event = calibration.event(spec)
    directory.blobs.put_all([spec.interface, *spec.hosts, calibration.encoded_centroids()])
    with Journal.create(directory.journal_path) as journal:
        base = canonical(_base(prepared.config, prepared.data, event["centroids"]))
        journal.put_meta(BASE, base)
        journal.put_meta(SCORE_NAME, prepared.score_name)
        events = numbered(0, [("calibration", event)])
        timing = Timing(organism=None, name=WALL, seconds=seconds, worker="driver")
        journal.write_round(0, events, {}, [timing], round_digest(base, events))


def config_of(directory: RunDirectory) -> Config:
    """Return the configuration of a run that this version can go on with or make again.

    Raises
    ------
    RunError
        If another version wrote its journal.
    ConfigError
        If its configuration cannot be read.
    """
    with directory.journal() as journal:
        _base_of(directory, journal)
        config = read_config(directory.config_path)
        coming = pending(journal)
        if coming is not None and scientific(config) == segments(journal)[-2].settings:
            # Whoever gave the run other settings was killed before they were written there as well.
            return config_from(coming[2], directory.config_path)
    return config


def journaled(directory: RunDirectory, journal: Journal) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what a run is chained to (format, configuration, data, centroids) and its event of calibration.

    Raises
    ------
    RunError
        If another version wrote the journal, or it holds no calibration.
    """
    path, base = directory.path, _base_of(directory, journal)
    events = list(journal.events(0, "calibration"))
    if not base or not events:
        raise RunError(f"{path} has no calibration in its journal; launch it again")
    return base, checked(events[0])


def calibrated(
    directory: RunDirectory, journal: Journal, config: Config, data: str | None = None
) -> Mapping[str, Any]:
    """Return a run's event of calibration, after a check that it is the run of a configuration and of data.

    Parameters
    ----------
    directory, journal
        Of the run.
    config
        Must be the run's (that of its last segment), but for how it is executed.
    data
        Digest of the task, which must be the run's; None where that does not matter.

    Raises
    ------
    RunError
        If the journal has no calibration, or format, configuration or data are not those of the run.
    """
    base, event = journaled(directory, journal)
    with readable("the calibration in the journal"):
        ours = _base(config, base.get("data") if data is None else data, event["centroids"])
        theirs = {**base, "config": segments(journal)[-1].settings}
        different = differences(theirs, json.loads(canonical(ours)))
    if different:
        raise RunError(f"{directory.path} was launched with other settings or data: {'; '.join(different)}")
    return event


def constants_of(event: Mapping[str, Any], blobs: BlobStore) -> Calibration:
    """Return the constants that an event of calibration and the stored centroids hold.

    Raises
    ------
    RunError
        If the event is no calibration.
    StoreError
        If the centroids are missing or damaged.
    """
    with readable("the calibration in the journal"):
        centroids = str(event["centroids"])
    return Calibration.read(event, decode_centroids(blobs.get(centroids)))


def with_calibrated(spec: WorldSpec, event: Mapping[str, Any], blobs: BlobStore) -> WorldSpec:
    """Return a world with the interface and the reference hosts that an event of calibration names.

    Parameters
    ----------
    spec
        The world without them.
    event
        Of calibration, from the run's journal.
    blobs
        Of the run.

    Raises
    ------
    StoreError
        If one of them is missing or damaged.
    """
    hosts = tuple(blobs.get(host) for host in event["hosts"])
    return replace(spec, interface=blobs.get(event["interface"]), hosts=hosts)


def _base_of(directory: RunDirectory, journal: Journal) -> Mapping[str, Any]:
    with readable(f"what the journal of {directory.path} begins with"):
        base: dict[str, Any] = json.loads(journal.meta(BASE) or "{}")
        made = base.get("format", FORMAT)
    if made != FORMAT:
        raise RunError(
            f"{directory.path} has the content of format {made} and this version works with format {FORMAT}; "
            "use the version that launched it (show, plot, verify and digest work with both)"
        )
    return base


def _base(config: Config, data: str | None, centroids: str) -> dict[str, Any]:
    """Return what round 0 is chained to: format, configuration without execution, data and centroids."""
    return {"format": FORMAT, "config": scientific(config), "data": data, "centroids": centroids}
