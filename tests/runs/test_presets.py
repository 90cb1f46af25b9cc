"""The presets of other families and streams, with their own tasks and sizes, but little training, in one process."""

import pytest

from archive_store.journal.journal import Journal
from archive_store.run_directory import RunDirectory
from runs.config.presets import presets
from runs.config.reader import load
from runs.launch import launch

LITTLE = (
    *("rounds=1", "organism.count=1", "organism.initial=4", "training.steps_per_round=2"),
    *("calibration.steps=2", "calibration.organisms=4", "calibration.checkpoints=[1.0]"),
    *("validity.gate=off", "execution.executor=inline"),
)


@pytest.mark.parametrize("name", [name for name in presets() if "-" in name or name == "stream"])
def test_a_preset_runs_and_no_measure_of_its_parts_is_constant(name, tmp_path):
    config = load(name, LITTLE)
    directory = RunDirectory.open(launch(config, tmp_path / "run"))
    with Journal.open(directory.journal_path, readonly=True) as journal:
        assert journal.last_round() == 1
        (calibration,) = journal.events(kind="calibration")
        censuses = [event.value for event in journal.events(kind="census")]
    assert calibration.value["verdict"]["constant"] == []
    rows = [record["measures"] for census in censuses for record in census["records"]]
    for measure, values in zip(config.measures, zip(*rows, strict=True), strict=True):
        assert len(set(values)) >= 8, measure
