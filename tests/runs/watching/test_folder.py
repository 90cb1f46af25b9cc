"""What is seen of runs as they begin, go on, stop, crash, end and go, without a lock and without a write."""

import fcntl
import shutil
import sqlite3

import pytest

from archive_store.reading import open_run
from runs.errors import ConfigError
from runs.watching.folder import SEARCH, Watched
from runs.watching.followed import RETRY
from tests.fixtures.growing import Growing
from tests.fixtures.small_runs import files
from tests.fixtures.synthetic_run import write_run


def seen(watched, looks=SEARCH):
    """The state and the rounds of each run by its name, after so many looks."""
    for _ in range(looks):
        watched.look()
    return {each.name: (each.state, each.round) for each in watched.runs().values()}


def test_a_run_is_followed_from_its_first_round_to_its_end(growing):
    watched = Watched(growing.place.parent)
    assert seen(watched) == {"run": ("running", 2)}
    growing.commit(2)
    assert seen(watched) == {"run": ("running", 4)}
    growing.stop()
    assert seen(watched) == {"run": ("stopped", 4)}
    growing.begin()
    growing.commit()
    assert seen(watched) == {"run": ("running", 5)}
    growing.crash()
    assert seen(watched) == {"run": ("crashed", 5)}
    growing.begin()
    assert seen(watched) == {"run": ("running", 5)}
    growing.commit(3)
    growing.finish()
    assert seen(watched) == {"run": ("finished", 8)}


def test_curves_are_those_of_the_frame_however_often_it_was_looked(growing, whole):
    watched = Watched(growing.place)
    for _ in range(6):
        growing.commit()
        watched.look()
    (found,) = watched.runs().values()
    rounds = open_run(whole).rounds()
    assert list(found.rounds) == list(rounds["round"])
    for name, values in found.curves.items():
        assert list(values) == list(rounds[name])
    assert found.last("qd_score") == rounds["qd_score"].iloc[-1]
    assert (found.planned, found.seed, found.task, found.family) == (8, 0, "digits", "pseudopods")


def test_nothing_is_written_locked_or_read_again(growing, monkeypatch):
    watched = Watched(growing.place.parent)
    before = files(growing.place)
    monkeypatch.setattr(fcntl, "flock", lambda *given: pytest.fail("a lock was tried"))
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: pytest.fail("the journal was opened"))
    assert seen(watched) == {"run": ("running", 2)}
    assert files(growing.place) == before


def test_runs_come_and_go(growing, whole, tmp_path):
    out = growing.place.parent
    watched = Watched(out)
    (out / "cells" / "arm").mkdir(parents=True)
    other = Growing(whole, out / "cells" / "arm" / "0")
    assert seen(watched) == {"run": ("running", 2), "cells/arm/0": ("running", 0)}
    other.stop()
    shutil.rmtree(other.place)
    assert seen(watched) == {"run": ("running", 2)}
    shutil.copytree(whole, out / ".new.1.partial")
    assert seen(watched) == {"run": ("running", 2)}


def test_of_an_experiment_its_cells_are_watched_and_not_what_they_take_their_calibration_from(
    whole, tmp_path
):
    for name in ("calibrations/archive/0", "cells/archive/0"):
        shutil.copytree(whole, tmp_path / "out" / "experiment" / name)
    (tmp_path / "out" / "experiment" / "experiment.yaml").touch()
    for place, name in (("out", "experiment/cells/archive/0"), ("out/experiment", "cells/archive/0")):
        assert seen(Watched(tmp_path / place)) == {name: ("finished", 8)}


def test_another_run_of_the_same_name_is_another_one(growing, whole):
    watched = Watched(growing.place)
    growing.stop()
    (key,) = watched.runs()
    before = watched.runs()[key]
    shutil.rmtree(growing.place)
    assert seen(watched) == {}
    write_run(growing.place, seed=1, organisms=2, rounds=1, cells=32)
    assert seen(watched) == {"run": ("finished", 1)}
    after = watched.runs()[key]
    assert (after.seed, after.rounds) == (1, (1,))
    assert after.version != before.version
    assert after.curves["qd_score"] == tuple(open_run(growing.place).rounds()["qd_score"])


def test_a_torn_journal_is_damaged_when_it_is_so_twice_and_well_again_when_it_is(growing):
    watched = Watched(growing.place)
    growing.stop()
    assert seen(watched) == {"run": ("stopped", 2)}
    journal = growing.place / "journal.sqlite"
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) // 2])
    assert seen(watched) == {"run": ("stopped", 2)}
    assert seen(watched) == {"run": ("damaged", 2)}
    assert "restore it from a copy" in str(next(iter(watched.runs().values())).reason)
    journal.write_bytes(data)
    assert seen(watched, SEARCH * RETRY) == {"run": ("stopped", 2)}
    assert next(iter(watched.runs().values())).reason is None


def test_who_waits_is_woken_by_what_is_new_and_by_the_end(growing):
    watched = Watched(growing.place)
    version = watched.wait(-1, 0)
    assert watched.wait(version, 0) == version
    growing.commit()
    watched.look()
    assert watched.wait(version, 60) != version
    watched.end()
    assert watched.ended
    assert watched.wait(watched.wait(-1, 0), 60) >= 0


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "\"'&", "\u202eabc", "a\nb", "\udcff", "\U0001f600"]
)
def test_any_name_of_a_folder_has_a_key_and_can_be_shown(name, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "out" / name)
    watched = Watched(tmp_path / "out")
    ((key, found),) = watched.runs().items()
    assert key.isalnum()
    assert found.name.isprintable()
    assert watched.path(key) == tmp_path / "out" / name
    assert watched.path("nothing") is None


@pytest.mark.parametrize(
    ("place", "told"),
    [("nowhere", "there is no folder .*nowhere; give one that holds runs, or the folder of a run"),
     ("", "there is no run in .*; make one, such as with: plasmodia launch smoke --out .*smoke"),
     ("other", "has format 9, this version reads 1; use the version that wrote it"),
     ("other/journal.sqlite", "there is no folder")],
)  # fmt: skip
def test_where_nothing_can_be_watched_is_one_sentence(place, told, whole, tmp_path):
    if place.startswith("other"):
        shutil.copytree(whole, tmp_path / "other")
        with sqlite3.connect(tmp_path / "other" / "journal.sqlite") as database:
            database.execute("PRAGMA user_version = 9")
        database.close()
    with pytest.raises(ConfigError, match=told):
        Watched(tmp_path / place)
