import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from archive_store.errors import RunDirectoryError
from archive_store.journal.chain import round_digest
from archive_store.journal.journal import BASE
from archive_store.run_directory import RunDirectory
from archive_store.verification import Problem, verify
from qd.canonical import canonical
from tests.fixtures.synthetic_run import write_run


@pytest.fixture
def finished(synthetic, tmp_path):
    return shutil.copytree(synthetic, tmp_path / "run")


@pytest.fixture
def unfinished(finished):
    (finished / "manifest.json").unlink()
    return finished


def only_problem(run):
    (problem,) = verify(run).problems
    return problem


def altered(run, query, *values):
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute(query, values)
    database.close()


def forged(run, round, kind, change):
    """Change the last event of a kind so that the chain holds again."""
    with RunDirectory(run).journal() as journal:
        event = list(journal.events(round, kind))[-1]
        value = event.value
        change(value)
        new = replace(event, body=canonical(value))
        altered(
            run,
            "UPDATE event SET body = ?, mark = ? WHERE round = ? AND seq = ?",
            new.body,
            new.mark,
            round,
            event.seq,
        )
    with RunDirectory(run).journal() as journal:
        previous, found = journal.meta(BASE), []
        for number in journal.rounds():
            previous = round_digest(previous, list(journal.events(number)))
            found.append((previous, number))
    for digest, number in found:
        altered(run, "UPDATE round SET digest = ? WHERE round = ?", digest, number)


def test_an_intact_run_is_counted(finished):
    found = verify(finished)
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert (found.run, found.finished, found.problems) == (str(finished), True, ())
    assert (found.files, found.bytes) == (len(files), sum(path.stat().st_size for path in files))
    (finished / "manifest.json").unlink()
    again = verify(finished)
    assert (again.finished, again.files, again.rounds, again.problems) == (
        False, found.files - 1, found.rounds, (),
    )  # fmt: skip


def test_nothing_is_changed(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    verify(finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_what_can_be_made_again_is_not_covered(finished):
    (finished / "plots").mkdir()
    (finished / "traces").mkdir()
    for name in (
        "plots/coverage.png",
        "report.html",
        "log.jsonl",
        "lock",
        "metrics.prom",
        "traces/trace.json",
    ):
        (finished / name).write_text("new")
    assert verify(finished).problems == ()


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "journal.sqlite"])
def test_a_missing_file_is_named(finished, name):
    (finished / name).unlink()
    problem = only_problem(finished)
    assert (problem.file, problem.problem) == (name, "is missing")
    assert "every round" in problem.dependents or name == "environment.json"
    (finished / "manifest.json").unlink()
    if name != "journal.sqlite":
        assert only_problem(finished) == problem


def test_without_journal_and_manifest_it_is_no_run(unfinished, tmp_path):
    (unfinished / "journal.sqlite").unlink()
    (unfinished / "config.yaml").unlink()
    with pytest.raises(RunDirectoryError, match="is no run: it has no config"):
        verify(unfinished)
    with pytest.raises(RunDirectoryError, match="there is no folder"):
        verify(tmp_path / "nowhere")


def test_files_that_the_manifest_does_not_list_are_named(finished):
    for name in ("notes.txt", "blobs/stray", "journal.sqlite-wal"):
        (finished / name).write_text("new")
        found = {problem.file: problem for problem in verify(finished).problems}
        assert found[name] == Problem(
            name, None, "is not listed in the manifest", "nothing that the run knows of"
        )
        (finished / name).unlink()


def test_another_size_is_told(finished):
    size = (finished / "config.yaml").stat().st_size
    with (finished / "config.yaml").open("a") as file:
        file.write("# mine\n")
    assert only_problem(finished).problem == f"has {size + 7} bytes and not {size}"


def test_with_a_damaged_manifest_the_rest_is_checked_as_far_as_that_goes(finished):
    (finished / "manifest.json").write_text("{}")
    found = only_problem(finished)
    assert found.file == "manifest.json"
    assert "is not a manifest of format 2" in found.problem
    assert found.dependents.endswith("the others were checked as those of an unfinished run")
    digest = open_run_genome(finished)
    RunDirectory(finished).blobs.path(digest).write_bytes(b"damaged")
    assert len(verify(finished).problems) == 2


def open_run_genome(run):
    with RunDirectory(run).journal() as journal:
        return next(journal.events(kind="outcome")).value["candidate"]["genome"]


@pytest.mark.parametrize(("name", "text"), [("config.yaml", "a: &b 1\nc: *b"), ("environment.json", "{")])
def test_settings_of_an_unfinished_run_must_be_readable(unfinished, name, text):
    (unfinished / name).write_text(text)
    problem = only_problem(unfinished)
    assert problem.file == name
    assert problem.problem.endswith("restore it from a copy")


def test_a_file_that_cannot_be_read_is_named(finished, monkeypatch):
    def denied(directory, name):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(RunDirectory, "digest_of", denied)
    problems = verify(finished).problems
    assert {problem.problem for problem in problems} == {"cannot be read: Permission denied"}


def test_a_state_that_a_live_run_replaces_meanwhile_is_no_problem_and_one_that_is_needed_is(
    tmp_path, monkeypatch
):
    run = write_run(tmp_path / "run", organisms=1, rounds=15, finished=False)
    directory = RunDirectory(run)
    look = RunDirectory.digest_of
    with directory.journal() as journal:
        _, older, _ = journal.states(0)
        (census,) = journal.events(14, "census")

    def removing(directory, name):
        monkeypatch.setattr(RunDirectory, "digest_of", look)
        with directory.journal(readonly=False) as journal:  # as a run does that goes on
            journal.write_states(14, {0: census.value["state"]})
        directory.blobs.remove(older.digest)
        return look(directory, name)

    monkeypatch.setattr(RunDirectory, "digest_of", removing)
    assert verify(run).problems == ()
    assert {problem.problem for problem in verify(run).problems} == {"is missing"}


def test_links_pipes_and_foreign_folders_are_named(unfinished, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (unfinished / "plots").symlink_to(outside)
    (unfinished / "blobs" / "zz").symlink_to(outside)
    (unfinished / "lock").symlink_to(outside / "lock")
    (unfinished / "notes" / "deep").mkdir(parents=True)
    os.mkfifo(unfinished / "report.html")
    rule = "inside a run there are plain files and folders alone"
    assert {problem.file: problem.problem for problem in verify(unfinished).problems} == {
        "plots": f"is a symbolic link; {rule}",
        "blobs/zz": f"is a symbolic link; {rule}",
        "lock": f"is a symbolic link; {rule}",
        "report.html": f"is a pipe; {rule}",
        "notes": "is no folder of a run",
    }


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "journal.sqlite", "manifest.json"])
def test_a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for(name, finished):
    (finished / name).unlink()
    os.mkfifo(finished / name)
    assert "is a pipe" in {p.file: p.problem for p in verify(finished).problems}[name]


def test_a_manifest_of_another_digest_than_the_journals_is_found(finished):
    RunDirectory(finished).write_manifest("0" * 64)
    problem = only_problem(finished)
    assert problem.file == "manifest.json"
    assert problem.problem.startswith(f"is of a run with digest {'0' * 64}, and the journal ends with ")


def test_a_journal_that_is_none_leaves_the_blobs_names(unfinished):
    (unfinished / "journal.sqlite").write_bytes(b"no database" * 500)
    problem = only_problem(unfinished)
    assert (problem.file, problem.round, problem.dependents) == ("journal.sqlite", None, "every round")
    path = RunDirectory(unfinished).blobs.path(next(RunDirectory(unfinished).blobs.digests()))
    path.write_bytes(b"damaged")
    found = {problem.file: problem.dependents for problem in verify(unfinished).problems}
    assert found[path.relative_to(unfinished).as_posix()] == "not known, as the journal cannot be read so far"


def test_damage_of_a_finished_journal_that_touches_no_event_says_so(finished):
    altered(finished, "UPDATE timing SET seconds = 1e9")
    assert (
        only_problem(finished).dependents == "no round: the damage is in timings, incidents or unused space"
    )
    altered(finished, "UPDATE event SET body = '{}' WHERE round = 2 AND seq = 0")
    assert only_problem(finished).round == 2
    assert only_problem(finished).dependents == "round 2 and all after it"


def test_an_index_that_disagrees_with_its_table_is_found(unfinished):
    with sqlite3.connect(unfinished / "journal.sqlite") as database:
        ((page, size),) = database.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'event_kind'"
        )
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    path = unfinished / "journal.sqlite"
    data = bytearray(path.read_bytes())
    place = data.index(b"c", (page - 1) * size + 100)
    data[place] ^= 1
    path.write_bytes(data)
    assert "journal.sqlite is damaged: " in only_problem(unfinished).problem


def test_events_that_are_not_of_their_kind_are_named(unfinished):
    forged(unfinished, 5, "outcome", lambda value: value.pop("cell"))
    assert "of round 5 is no outcome of this version: cell is missing" in only_problem(unfinished).problem


def test_a_run_of_a_version_that_noted_more_is_not_called_damaged_and_one_that_noted_less_is(unfinished):
    forged(unfinished, 5, "outcome", lambda value: value.update(more=1))
    assert verify(unfinished).problems == ()
    forged(unfinished, 5, "decision", lambda value: value.pop("hunger"))
    assert "of round 5 is no decision of this version: hunger is missing" in only_problem(unfinished).problem


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("outcome", lambda value: value.update(cell=10**9), "names cell 1000000000 of an archive of 64"),
        (
            "census",
            lambda value: value["records"][-1]["measures"].append(0.5),
            "speaks of 6 measures, unlike the calibration",
        ),
        (
            "summary",
            lambda value: value["out_of_range"].pop(),
            "speaks of 4 measures, unlike the calibration",
        ),
    ],
)
def test_what_does_not_fit_the_calibration_is_named(unfinished, kind, change, told):
    forged(unfinished, 5, kind, change)
    problem = only_problem(unfinished)
    assert (problem.file, problem.round) == ("journal.sqlite", 5)
    assert f"of round 5 {told}" in problem.problem


def test_a_calibration_that_cannot_be_read_is_named(unfinished):
    forged(unfinished, 0, "calibration", lambda value: value.pop("hosts"))
    assert (
        "event 0 of round 0 is no calibration of this version: hosts is missing"
        in only_problem(unfinished).problem
    )


def test_a_census_that_cannot_be_read_is_named(unfinished):
    forged(unfinished, 1, "census", lambda value: value.pop("state"))
    assert "of round 1 is no census of this version: state is missing" in only_problem(unfinished).problem


def test_a_name_that_is_no_digest_is_never_made_a_path(unfinished):
    forged(unfinished, 0, "calibration", lambda value: value.update(interface="../../etc/passwd"))
    assert "names a blob '../../etc/passwd', which is no digest" in only_problem(unfinished).problem


def test_old_states_may_be_gone_and_kept_ones_may_not(tmp_path):
    run = write_run(tmp_path / "run", organisms=1, rounds=15, finished=False)
    directory = RunDirectory(run)
    with directory.journal() as journal:
        newest, _, oldest = journal.states(0)
    directory.blobs.remove(oldest.digest)
    assert verify(run).problems == ()
    directory.blobs.remove(newest.digest)
    assert only_problem(run).round == 15
    assert only_problem(run).dependents == (
        "organism 0 as it was after round 15; a resume falls back to the older state after round 10"
    )
    directory.blobs.path(oldest.digest).write_bytes(b"damaged")
    assert verify(run).problems[0].dependents.endswith("; a resume goes on from newer states")


def test_it_loads_nothing_heavy(synthetic):
    code = (
        "import sys, json\nfrom pathlib import Path\nfrom archive_store.verification import verify\n"
        "assert verify(Path(sys.argv[1])).problems == ()\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(synthetic)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "ribs", "pandas", "ray", "scipy", "sklearn", "pydantic", "matplotlib", "safetensors"}
    assert heavy & set(json.loads(done.stdout)) == set()
