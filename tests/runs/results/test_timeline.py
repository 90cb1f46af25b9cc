import json
import shutil
import sqlite3

import pytest

from archive_store.journal.journal import Journal
from archive_store.reading import open_run
from runs.errors import ConfigError, RunError
from runs.results.timeline import export_trace, spans_of
from tests.fixtures.small_runs import launched
from tests.fixtures.timed_journals import Timed, journal_of
from tests.fixtures.traces import check_trace

ROUNDS = [
    Timed(10.0, store=0.5, write=0.25, orders=[(3.0, 4.0), (2.0, 1.0)], parts={"train": 1.0, "total": 2.0}),
    Timed(4.0, chunks=[(0.5, 3.0), (0.75, 0.25)]),
]


def test_moments_follow_from_durations_by_hand(tmp_path):
    """Calibration took 2 s: round 1 was stored at 12 s, round 2 at 16 s."""
    with journal_of(tmp_path / "journal.sqlite", ROUNDS, calibration=2.0) as journal:
        found = list(spans_of(journal))
    told = [(span.name, span.lane, span.begin, span.end) for span in found]
    assert told == [
        ("calibration", "driver", 0.0, 2.0),
        ("order", "w0", 5.0, 8.0),
        ("order", "w0", 9.0, 11.0),
        ("commit", "driver", 11.5, 12.25),
        ("emit", "w1", 12.5, 13.0),
        ("emit", "w1", 15.0, 15.75),
        ("commit", "driver", 15.75, 16.5),
    ]
    assert [(part.name, part.begin, part.end) for part in found[1].parts] == [("train", 5.5, 6.5)]
    assert [dict(span.attributes)["chunk"] for span in found if span.name == "emit"] == [0, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("timeline") / "run", "execution.trace=trace.json")


def test_it_is_that_which_was_traced_while_the_run_went_on(run, tmp_path):
    path = export_trace(open_run(run), tmp_path / "new" / "later.json")
    later, live = (json.loads(each.read_text()) for each in (path, run / "traces" / "trace.json"))
    check_trace(later)

    def spans(events):
        rounds = [event for event in events if event["ph"] == "X" and event["args"]["round"] > 0]
        named = [each for each in rounds if each["args"].get("job") in ("advance", "emit")]
        start = min(each["ts"] for each in named)
        key = ("round", "organism", "chunk", "worker")
        return {
            (each["name"], *(each["args"].get(one) for one in key)): (each["ts"] - start, each["dur"])
            for each in named
        }

    assert spans(later).keys() == spans(live).keys()
    for which, (begin, length) in spans(live).items():
        assert spans(later)[which] == (pytest.approx(begin, abs=2000), pytest.approx(length, abs=1))


def test_a_run_of_an_older_version_has_no_such_times(run, tmp_path):
    shutil.copy(run / "journal.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute("DELETE FROM timing WHERE name IN ('order', 'emit_order', 'store')")
    database.close()
    with (
        Journal.open(tmp_path / "journal.sqlite", readonly=True) as journal,
        pytest.raises(RunError, match="does not say when orders were sent"),
    ):
        list(spans_of(journal))


def test_nothing_is_replaced(run, tmp_path):
    (tmp_path / "there.json").touch()
    with pytest.raises(ConfigError, match=r"there.json exists already; give another --trace"):
        export_trace(open_run(run), tmp_path / "there.json")
    with pytest.raises(ConfigError, match=r"must be a file that ends in .json, not .*trace.txt"):
        export_trace(open_run(run), tmp_path / "trace.txt")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        export_trace(open_run(run), tmp_path / "file" / "trace.json")
