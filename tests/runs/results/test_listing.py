"""The list of runs below a folder, and the frames of a run as files."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from archive_store import durable
from archive_store.errors import WriteError
from archive_store.lock import held
from archive_store.reading import open_run
from runs.errors import ConfigError, RunError
from runs.results import exported
from runs.results.listing import KEYS, Listed, listed, plain, table
from runs.results.summary import summarise
from tests.fixtures.synthetic_run import write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a finished run, one that was stopped, and a damaged one further below."""
    out = tmp_path_factory.mktemp("out")
    write_run(out / "b")
    write_run(out / "a", rounds=3, finished=False)
    (out / "deep").mkdir()
    shutil.copytree(out / "b", out / "deep" / "c")
    (out / "deep" / "c" / "journal.sqlite").write_bytes(b"nonsense")
    (out / "link").symlink_to(out / "b")
    (out / "notes.txt").write_text("no run")
    return out


def test_every_run_is_listed_with_what_it_came_to(folder):
    first, second, third = listed(folder)
    assert [each.run for each in (first, second, third)] == [
        str(folder / name) for name in ("a", "b", "deep/c")
    ]
    assert [each.state for each in (first, second, third)] == ["stopped", "finished", "damaged"]
    summary = summarise(folder / "b")
    assert (second.seed, second.arm, second.rounds) == (summary.seed, summary.arm, summary.rounds)
    assert (second.score, second.coverage, second.qd_score) == (
        summary.best_accuracy,
        summary.coverage,
        summary.qd_score,
    )
    files = [path for path in (folder / "b").rglob("*") if path.is_file()]
    assert second.bytes == sum(path.stat().st_size for path in files)
    assert (first.rounds, first.planned) == (3, 3)
    assert third.reason
    assert third.coverage is None


def test_a_run_that_is_being_written_is_running(tmp_path):
    path = write_run(tmp_path / "live", rounds=3, finished=False)
    with held(path):
        assert listed(tmp_path)[0].state == "running"
    assert listed(path)[0].state == "stopped"


def test_a_run_without_a_committed_round_is_listed(tmp_path):
    path = write_run(tmp_path / "run", rounds=0, finished=False)
    (found,) = listed(path)
    assert (found.rounds, found.state, found.score) == (0, "stopped", None)
    assert found.task == summarise_task(path)


def summarise_task(path):
    return open_run(path).config["task"]["name"]


@pytest.mark.parametrize("key", KEYS)
def test_it_can_be_sorted_by_each_column(folder, key):
    values = [getattr(each, key) for each in listed(folder, key)]
    known = [value for value in values if value is not None]
    assert values[: len(known)] == known
    assert known == sorted(known, reverse=not isinstance(known[0], str))


def test_the_table_has_a_line_for_each_run_and_the_reasons_of_damage(folder):
    lines = table(listed(folder)).splitlines()
    assert lines[0].split()[:4] == ["run", "state", "seed", "arm"]
    assert lines[4].startswith(f"{folder}/deep/c: ")
    assert len(lines) == 5
    assert "3/" in lines[1]


def test_json_has_null_for_what_is_not_known():
    (found,) = plain([Listed("a", "stopped", score=float("nan"))])
    assert json.loads(json.dumps(found)) == dict.fromkeys(KEYS) | {"run": "a", "state": "stopped"}


@pytest.mark.parametrize(
    ("where", "sort", "sentence"),
    [("none", "run", "there is no folder .*none"), ("", "scor", "--sort is 'scor'; known are run, .*score")],
)
def test_what_cannot_be_listed_is_refused(folder, where, sort, sentence):
    with pytest.raises(ConfigError, match=sentence):
        listed(folder / where, sort)


@pytest.mark.parametrize(("format", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_every_frame_is_a_file(folder, tmp_path, format, read):
    run = open_run(folder / "b")
    paths = exported.export(run, tmp_path / "frames", format)
    assert [path.name for path in paths] == [f"{name}.{format}" for name in exported.FRAMES]
    found, wanted = read(tmp_path / "frames" / f"rounds.{format}"), run.rounds()
    assert list(found.columns) == list(wanted.columns)
    assert found["qd_score"].tolist() == wanted["qd_score"].tolist()
    assert len(read(tmp_path / "frames" / f"records.{format}")) == len(run.records()) > 0
    again = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in exported.export(run, tmp_path / "frames", format)] == again


def test_what_a_task_reports_of_its_own_is_a_list_of_records_in_a_parquet_file(tmp_path):
    census = pd.DataFrame(
        {"organism": [0, 0], "test_metrics": [(), (("sine_mse", 0.5), ("circle_mse", 0.25))]}
    )
    (tmp_path / "census.parquet").write_bytes(
        exported.FORMATS["parquet"](SimpleNamespace(census=census.copy), "census")
    )
    found = pd.read_parquet(tmp_path / "census.parquet")["test_metrics"]
    assert [list(each) for each in found] == [
        [],
        [{"name": "sine_mse", "number": 0.5}, {"name": "circle_mse", "number": 0.25}],
    ]


def test_every_frame_of_a_run_is_exported():
    """Those that the reader describes, but for the centroids and the archive, which are no tables of events."""
    from archive_store.columns import COLUMNS

    assert set(exported.FRAMES) == set(COLUMNS)


def test_a_disk_that_takes_no_frames_says_which_place(folder, tmp_path, monkeypatch):
    def full(path, data):
        raise WriteError(path, "No space left on device", full=True)

    monkeypatch.setattr(durable, "place", full)
    with pytest.raises(
        RunError, match=r"rounds\.csv cannot be written: No space left on device; choose another folder"
    ):
        exported.export(open_run(folder / "b"), tmp_path / "frames")


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(folder, tmp_path):
    run = open_run(folder / "b")
    with pytest.raises(ConfigError, match=r"--format is 'cvs'; known are csv, parquet.*did you mean csv"):
        exported.export(run, tmp_path / "frames", "cvs")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file, which is no folder; name another one"):
        exported.export(run, tmp_path / "file")
    with pytest.raises(
        ConfigError, match=r"lies in the folder of the run .*; choose another folder for --frames"
    ):
        exported.export(run, run.directory.path)
    assert not (tmp_path / "frames").exists()
