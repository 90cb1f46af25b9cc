import json
from itertools import pairwise

import pytest

from runs.observability.measured import Committed, Ordered, Standing
from runs.observability.trace import chrome
from runs.observability.trace.chrome import ChromeFile, document
from runs.observability.trace.spans import of_commit, of_order
from runs.observability.trace.tracer import Tracer
from tests.fixtures.traces import check_trace

ORDERS = [
    Ordered("advance", 1, 0, "trainer-0", 1, 10.0, 12.0, {"train": 1.0, "total": 1.5}),
    Ordered("advance", 1, 1, "trainer-1", 1, 10.5, 13.0, {"train": 2.0, "total": 2.0}),
    Ordered("emit", 1, 0, "trainer-0", 1, 12.0, 12.5, {"vary": 0.1, "score": 0.2, "total": 0.3}),
]
COMMIT = Committed(1, 13.0, 13.25, 13.5)


def spans():
    return [*map(of_order, ORDERS), of_commit(COMMIT)]


def test_a_document_has_the_form_that_perfetto_reads():
    events = json.loads(document(iter(spans())))
    assert check_trace(events) == {"driver": 3, "trainer-0": 5, "trainer-1": 2}
    train = next(event for event in events if event["name"] == "train")
    assert (train["ts"], train["dur"]) == (10.25e6, 1e6)  # microseconds


def test_a_file_that_grows_ends_as_the_same_document(tmp_path):
    file = ChromeFile("trace.json", print)
    file.take(spans()[0])  # before there is a folder
    file.begin(tmp_path)
    for span in spans()[1:]:
        file.take(span)
    file.flush()
    unfinished = (tmp_path / "trace.json").read_text()
    file.close()
    whole = (tmp_path / "trace.json").read_text()
    assert json.loads(whole) == json.loads(document(iter(spans())))
    assert json.loads(f"{unfinished}]") == json.loads(whole)  # as the format allows it to be read


def test_a_tracer_counts_from_its_start(tmp_path):
    file = ChromeFile("trace.json", print)
    tracer = Tracer(file, start=10.0)
    file.begin(tmp_path)
    tracer.answered(ORDERS[0])
    tracer.committed(COMMIT)
    tracer.happened("lost")
    file.close()
    events = json.loads((tmp_path / "trace.json").read_text())
    assert [event["ts"] for event in events if event["name"] in ("order", "commit")] == [0.0, 3e6]


def test_who_goes_on_writes_another_file(tmp_path):
    for _ in range(3):
        file = ChromeFile("t.json", print)
        file.begin(tmp_path)
        file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-2.json", "t-3.json", "t.json"]


@pytest.mark.parametrize(
    ("most", "place", "told"),
    [
        (1000, "file", "File exists"),
        (1000, "link", "link is a symbolic link"),
        (1, "new", "there are 0 traces of that name"),
    ],
)
def test_a_file_that_cannot_be_made_is_told_once_and_stops_nobody(most, place, told, tmp_path, monkeypatch):
    monkeypatch.setattr(chrome, "MOST_FILES", most)
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    said = []
    file = ChromeFile("trace.json", said.append)
    file.take(spans()[0])
    file.begin(tmp_path / place)
    for span in spans():
        file.take(span)
    file.flush()
    file.close()
    (line,) = said
    assert line.startswith("the trace trace.json cannot be written: ")
    assert line.endswith(f"{told}; the run goes on")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_lanes_that_overlap_would_be_found():
    twice = [spans()[0], of_order(Ordered("advance", 2, 0, "trainer-0", 1, 11.0, 13.0, {}))]
    with pytest.raises(AssertionError, match="overlap"):
        check_trace(json.loads(document(iter(twice))))
    assert all(first.end <= second.begin for first, second in pairwise([spans()[0], spans()[2]]))


def test_standing_takes_no_time(tmp_path):
    file = ChromeFile("trace.json", print)
    file.begin(tmp_path)
    Tracer(file, 0.0).stands(Standing(1, 2, 0.0, 0.0, 0, 0, 1, 0, 0, 0.1, None, None, 0, 1))
    file.close()
    assert json.loads((tmp_path / "trace.json").read_text()) == []
