"""Runs of strangers: whatever a journal holds whose digests are right, every command that reads it has one sentence."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.pictures import KINDS
from analysis.report.document import MOST_BYTES
from archive_store.errors import UNREADABLE, StoreError
from archive_store.journal.chain import organism_of, round_digest
from archive_store.journal.journal import BASE
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from qd.canonical import sha256
from runs.cli import app
from tests.fixtures.pages import parsed
from tests.fixtures.small_runs import copied

READERS = [["show"], ["show", "--json"], ["digest", "--rounds"], ["verify"], ["verify", "--json"]]
FRAMES = ["rounds", "census", "records", "decisions", "outcomes", "elites", "validity", "timings"]
SCALAR = re.compile(r'(?<=[:\[,])(?:-?[0-9][0-9.e+-]*|"[^"]*"|true|false|null)(?=[,\]}])')
STRANGE = [
    "9" * 5000, "1" + "0" * 30, "9223372036854775807", "1000000000", "-1", "1e999", "1e308", "-1e300", "NaN",
    "Infinity", '"NaN"', '"-Infinity"', "null", "true", "[]", "{}", '""', '"text"', "[[]]", '[["a",1]]',
    "[" * 100_000, "[" * 300 + "]" * 300, '"' + "a" * 300_000 + '"', r'"\ud800"', r'"\u001b[31m\u0000"',
    r'"\u202e$x^{$"', "0.5", "7",
]  # fmt: skip


@pytest.fixture(scope="module")
def strange(undisturbed, tmp_path_factory) -> Path:
    """A run that is not finished, so that its chain alone says what is right."""
    run = copied(undisturbed, tmp_path_factory.mktemp("strange"))
    (run / "manifest.json").unlink()
    return run


@pytest.fixture(scope="module")
def whole(strange) -> bytes:
    return (strange / "journal.sqlite").read_bytes()


@pytest.fixture(autouse=True)
def restored(strange, whole):
    """Leave the journal to the next test as it was."""
    yield
    (strange / "journal.sqlite").write_bytes(whole)


def forge(run: Path, whole: bytes, row: int, body: str) -> None:
    """Put a body in the place of another, and make everything fit again that is known of it."""
    path = run / "journal.sqlite"
    path.write_bytes(whole)
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE event SET body = ?, mark = ? WHERE rowid = ?", (body, sha256(body)[:16], row)
        )
        with suppress(*UNREADABLE):
            value = json.loads(body)
            kind, organism = value["kind"], organism_of(value)
            if isinstance(kind, str) and type(organism) in (int, type(None)):
                listed = (kind, organism, row)
                database.execute("UPDATE event SET kind = ?, organism = ? WHERE rowid = ?", listed)
    database.close()
    with RunDirectory(run).journal() as journal:
        previous, digests = journal.meta(BASE) or "", []
        for round in journal.rounds():
            previous = round_digest(previous, list(journal.events(round)))
            digests.append((previous, round))
    with sqlite3.connect(path) as database:
        database.executemany("UPDATE round SET digest = ? WHERE round = ?", digests)
    database.close()


def rows(whole: bytes) -> list[tuple[int, str, str]]:
    """Some events of every kind: row, kind and body."""
    database = sqlite3.connect(":memory:")
    database.deserialize(whole)
    found = database.execute(
        "SELECT rowid, kind, body FROM event GROUP BY kind, round % 2 ORDER BY rowid"
    ).fetchall()
    database.close()
    return found


def strange_bodies(body: str) -> st.SearchStrategy[str]:
    """Bodies with one value replaced by something strange, or one entry left out."""
    places = [match.span() for match in SCALAR.finditer(body)]
    replaced = st.tuples(st.sampled_from(places), st.sampled_from(STRANGE)).map(
        lambda drawn: body[: drawn[0][0]] + drawn[1] + body[drawn[0][1] :]
    )
    without = st.sampled_from(sorted(json.loads(body))).map(
        lambda name: json.dumps({key: value for key, value in json.loads(body).items() if key != name})
    )
    whole = st.tuples(st.sampled_from(sorted(json.loads(body))), st.sampled_from(STRANGE[:-8])).map(
        lambda drawn: json.dumps(json.loads(body) | {drawn[0]: "@"}).replace('"@"', drawn[1])
    )
    return replaced | without | whole


def told_in_a_sentence(*arguments: Any) -> None:
    """Call a command, which must end well or with a sentence, without anything that a terminal would obey."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{arguments}: {result.output[-500:]}") from result.exception
    assert "\x1b" not in result.output
    assert "Traceback" not in result.output


def bodies(whole: bytes) -> st.SearchStrategy[tuple[int, str]]:
    return st.sampled_from(rows(whole)).flatmap(
        lambda row: st.tuples(st.just(row[0]), strange_bodies(row[2]))
    )


fuzzing = settings(suppress_health_check=list(HealthCheck))


@pytest.mark.long
@settings(fuzzing, max_examples=40)
@given(data=st.data())
def test_journals_whose_digests_are_right_and_whose_values_are_strange(strange, whole, data):
    forge(strange, whole, *data.draw(bodies(whole)))
    for command, *options in READERS:
        told_in_a_sentence(command, strange, *options)
    told_in_a_sentence("replay", strange, "--decisions")
    for frame in FRAMES:
        with suppress(StoreError):
            getattr(open_run(strange), frame)()


@settings(fuzzing, max_examples=3)
@given(data=st.data())
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("utilisation", "trials")])
def test_such_journals_are_drawn_or_not(strange, whole, kind, data):
    forge(strange, whole, *data.draw(bodies(whole)))
    told_in_a_sentence("plot", strange, "--kind", kind, "--format", "svg")


@settings(fuzzing, max_examples=4)
@given(data=st.data())
def test_such_journals_have_a_page_whose_data_are_json_or_none(strange, whole, tmp_path, data):
    forge(strange, whole, *data.draw(bodies(whole)))
    place = tmp_path / "page.html"
    place.unlink(missing_ok=True)
    told_in_a_sentence("report", strange, "-o", place)
    if place.exists():
        assert len(parsed(place.read_bytes()).all("script")) == 2
        assert parsed(place.read_bytes()).data["charts"]
        assert place.stat().st_size < MOST_BYTES


def test_a_journal_that_verify_calls_intact_can_be_shown(strange, whole):
    forge(strange, whole, *next((row, body) for row, _, body in rows(whole)))
    assert CliRunner().invoke(app, ["verify", str(strange)]).exit_code == 0
    assert CliRunner().invoke(app, ["show", str(strange)]).exit_code == 0


@pytest.mark.parametrize("value", STRANGE)
def test_every_strange_value_in_the_place_of_a_number_is_found(strange, whole, value):
    row, _, body = next(each for each in rows(whole) if each[1] == "summary")
    forge(strange, whole, row, body.replace('"coverage":', f'"coverage":{value},"more":', 1))
    result = CliRunner().invoke(app, ["verify", str(strange)])
    assert (result.exit_code == 0) == (value == "0.5")
    assert value == "0.5" or re.search(r"event \d+ of round 1", result.stdout)


def link(path: Path, outside: Path) -> None:
    """Put a link in the place of a file or folder, which is moved to where the link leads."""
    path.rename(outside)
    path.symlink_to(outside)


def pipe(path: Path, outside: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def holes(path: Path, outside: Path) -> None:
    path.touch()
    os.truncate(path, 20 * 2**30)


def endless(path: Path, outside: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE event")
        database.execute(
            "CREATE VIEW event AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
            "SELECT x AS round, 0 AS seq, NULL AS organism, 'census' AS kind, '{}' AS body, '' AS mark FROM n"
        )
    database.close()


def trigger(path: Path, outside: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TRIGGER t AFTER INSERT ON incident BEGIN DELETE FROM round; END")
    database.close()


def state_of(*paths: Path) -> dict[Path, tuple[int, ...]]:
    """What is there, and when each of it was last written."""
    found = {path: path.lstat() for path in paths if os.path.lexists(path)}
    return {path: (stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


HARMS = [
    *[(name, harm) for name in ("config.yaml", "journal.sqlite") for harm in (link, pipe, holes)],
    *[(f"journal.sqlite{suffix}", harm) for suffix in ("-wal", "-journal") for harm in (pipe, holes)],
    ("journal.sqlite", endless),
    ("journal.sqlite", trigger),
]


@pytest.mark.parametrize(("name", "harm"), HARMS)
def test_what_is_no_file_of_a_run_is_named_and_neither_waited_for_nor_written(strange, tmp_path, name, harm):
    run, outside = copied(strange, tmp_path), tmp_path / "outside"
    harm(run / name, outside)
    before = state_of(outside, *run.rglob("*"))
    for command in (["show"], ["digest"], ["verify"], ["plot", "--kind", "progress"], ["resume"]):
        result = CliRunner().invoke(app, [command[0], str(run), *command[1:]])
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code in (1, 2)
        assert name in result.output
    assert state_of(outside, *run.rglob("*")) == before


@pytest.mark.parametrize("harm", [pipe, holes])
def test_a_blob_that_is_none_is_named_and_not_waited_for(strange, tmp_path, harm):
    run = copied(strange, tmp_path)
    digest = open_run(run).calibration()["centroids"]
    harm(RunDirectory(run).blobs.path(digest), tmp_path)
    for command in (["verify"], ["plot", "--kind", "coverage"], ["replay", "--decisions"]):
        result = CliRunner().invoke(app, [command[0], str(run), *command[1:]])
        assert result.exit_code == 1
        assert f"{digest}.safetensors" in result.output


@pytest.mark.parametrize(
    ("name", "command"),
    [("lock", ["resume"]), ("plots", ["plot", "--kind", "progress"]), ("blobs", ["resume"])],
)
def test_nothing_is_written_through_a_link(strange, tmp_path, name, command):
    run, outside = copied(strange, tmp_path), tmp_path / "outside"
    if name == "lock":
        outside.write_text("precious")
    elif name == "plots":
        shutil.rmtree(run / name, ignore_errors=True)
        outside.mkdir()
    else:
        (run / name).rename(outside)
    (run / name).symlink_to(outside)
    before = state_of(outside, *outside.rglob("*"))
    result = CliRunner().invoke(app, [command[0], str(run), *command[1:]])
    assert result.exit_code == 1
    assert f"run/{name} is a symbolic link" in result.output
    assert state_of(outside, *outside.rglob("*")) == before
