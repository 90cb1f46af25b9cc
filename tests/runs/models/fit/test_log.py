import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_store.errors import WriteError
from runs.models.fit.log import Log, cut, read


def written(path, steps):
    log = Log(path)
    for step in steps:
        log.write({"step": step, "loss": 0.5})
    log.sync()
    log.close()


def test_records_are_read_back_in_their_order(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, [1, 2])
    written(path, [3])
    assert [record["step"] for record in read(path)] == [1, 2, 3]
    assert json.loads(path.read_text().splitlines()[0]) == {"step": 1, "loss": 0.5}


def test_without_a_file_there_are_no_records(tmp_path):
    assert read(tmp_path / "log.jsonl") == []


@given(st.integers(0, 60))
def test_a_line_that_was_cut_off_ends_the_log(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    written(path, [1, 2])
    data = path.read_bytes()
    path.write_bytes(data[:length])
    assert len(read(path)) == data[:length].count(b"\n")


@given(st.lists(st.integers(1, 9), max_size=9), st.integers(0, 10))
def test_what_came_after_a_step_is_cut(tmp_path_factory, steps, step):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    written(path, sorted(steps))
    path.write_bytes(path.read_bytes() + b'{"step": 3, "lo')
    cut(path, step)
    assert [record["step"] for record in read(path)] == [each for each in sorted(steps) if each <= step]
    assert path.read_bytes().count(b"\n") == len(read(path))


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(WriteError, match=r"log.jsonl cannot be written: Is a directory"):
        Log(tmp_path / "log.jsonl")
