import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import pytest

from archive_store import durable
from archive_store.errors import JournalError
from archive_store.journal import connection


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder / "journal.sqlite"


def begun(path):
    """A journal with one row that is still in the WAL."""
    writer = connection.create(path)
    writer.execute("INSERT INTO round VALUES (1, '')")
    return writer


def numbers(path):
    reader = connection.reading(path)
    found = [row[0] for row in reader.execute("SELECT round FROM round ORDER BY round")]
    ((_, _, file),) = reader.execute("PRAGMA database_list")
    reader.close()
    return found, file != str(path)


def numbers_elsewhere(path):
    """As `numbers`, in another process: within one, SQLite's connections share what they have open."""
    code = (
        "import sys; from pathlib import Path; from archive_store.journal import connection;"
        "reader = connection.reading(Path(sys.argv[1]));"
        "assert reader.execute('PRAGMA database_list').fetchone()[2] == sys.argv[1];"
        "print([row[0] for row in reader.execute('SELECT round FROM round ORDER BY round')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout)


def listing(path):
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.parent.iterdir()}


def crashed(path):
    """What a killed writer leaves: copies of all files, taken while it was writing."""
    writer = begun(path)
    folder = path.parent.with_name("crashed")
    shutil.copytree(path.parent, folder)
    writer.close()
    return folder / path.name


def test_a_message_of_sqlite_that_quotes_damaged_bytes_is_a_sentence_too(path):
    told = pytest.raises(JournalError, match=r"journal.sqlite cannot be used: .*; restore it from a copy")
    with told, connection.explained(path):
        b"\xc2 is no text".decode("utf-8")


def test_a_live_journal_is_read_without_a_trace(path):
    writer = begun(path)
    before = listing(path)
    assert numbers_elsewhere(path) == [1]
    assert listing(path) == before
    writer.execute("INSERT INTO round VALUES (2, '')")
    before = listing(path)
    assert numbers_elsewhere(path) == [1, 2]
    assert listing(path) == before
    writer.close()


def test_a_reader_does_not_keep_the_writer_waiting(path):
    writer = begun(path)
    reader = connection.reading(path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM round").fetchone() == (1,)
    writer.execute("INSERT INTO round VALUES (2, '')")
    assert reader.execute("SELECT count(*) FROM round").fetchone() == (1,)
    reader.close()
    writer.close()


def test_a_crashed_journal_is_read_without_a_trace(path):
    left = crashed(path)
    before = listing(left)
    assert set(before) == {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"}
    assert numbers(left) == ([1], False)
    assert listing(left) == before


def test_a_crashed_journal_without_shared_memory_is_read_from_a_copy(path):
    left = crashed(path)
    left.with_name("journal.sqlite-shm").unlink()
    before = listing(left)
    assert numbers(left) == ([1], True)
    assert listing(left) == before


def test_of_a_copy_nothing_is_left_while_it_is_read(path, tmp_path, monkeypatch):
    left = crashed(path)
    left.with_name("journal.sqlite-shm").unlink()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    reader = connection.reading(left)
    assert list(temporary.iterdir()) == []
    assert reader.execute("SELECT round FROM round").fetchall() == [(1,)]
    reader.close()


def test_a_crash_in_rollback_mode_is_read_from_a_copy(path, monkeypatch):
    monkeypatch.setattr(durable, "on_network", lambda path: True)
    writer = begun(path)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    writer.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the commit
    writer.execute("BEGIN")
    writer.executemany("INSERT INTO round VALUES (?, ?)", [(2 + n, "x" * 1000) for n in range(100)])
    left = path.parent.with_name("crashed") / path.name
    shutil.copytree(path.parent, left.parent)
    writer.close()
    before = listing(left)
    assert set(before) == {"journal.sqlite", "journal.sqlite-journal"}
    assert numbers(left) == ([1], True)
    assert listing(left) == before


def test_a_stopped_and_a_finished_journal_are_read_without_a_trace(path):
    begun(path).close()
    before = listing(path)
    assert set(before) == {"journal.sqlite"}
    assert numbers(path) == ([1], False)
    writer = connection.writing(path)
    connection.leave_wal(writer, path)
    writer.close()
    finished = listing(path)
    assert set(finished) == {"journal.sqlite"}
    assert finished["journal.sqlite"][1][18:20] == b"\x01\x01"  # SQLite's header: no WAL
    assert numbers(path) == ([1], False)
    assert listing(path) == finished


def test_a_read_only_folder_can_be_read(path):
    left = crashed(path)
    for file in (*left.parent.iterdir(), left.parent):
        os.chmod(file, 0o555 if file.is_dir() else 0o444)
    assert numbers(left)[0] == [1]
    os.chmod(left.parent, 0o755)


def test_commits_are_synchronised(path):
    writer = begun(path)
    assert writer.execute("PRAGMA synchronous").fetchone() == (3,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    writer.close()
    writer = connection.writing(path)
    assert writer.execute("PRAGMA synchronous").fetchone() == (3,)
    writer.close()


def test_an_open_reader_prevents_a_single_file_and_is_blamed(path):
    writer = begun(path)
    reader = connection.reading(path)
    reader.execute("SELECT * FROM round").fetchall()
    with pytest.raises(
        JournalError, match=r"is complete but cannot become a single file: .*close the program"
    ):
        connection.leave_wal(writer, path, patience=0)
    reader.close()
    connection.leave_wal(writer, path, patience=0)
    writer.close()


def test_paths_with_odd_characters_are_just_paths(tmp_path):
    path = tmp_path / "a b?mode=ro#%41" / "journal.sqlite"
    path.parent.mkdir()
    begun(path).close()
    assert numbers(path) == ([1], False)


def test_an_existing_file_is_not_overwritten(path):
    path.write_bytes(b"precious")
    with pytest.raises(JournalError, match=r"journal .* exists already"):
        connection.create(path)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("opened", [connection.reading, connection.writing])
class TestRefused:
    def test_nothing(self, path, opened):
        with pytest.raises(JournalError, match=r"there is no journal .*; give the folder of a run"):
            opened(path)

    def test_another_kind_of_file(self, path, opened):
        path.write_bytes(b"no database " * 100)
        with pytest.raises(JournalError, match="cannot be used: file is not a database"):
            opened(path)

    def test_another_database(self, path, opened):
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE t (x)")
        other.close()
        with pytest.raises(JournalError, match="is an SQLite file but no journal"):
            opened(path)

    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
    def test_what_is_no_plain_file_or_mostly_holes(self, path, opened, suffix):
        begun(path).close()
        beside = path.with_name(f"{path.name}{suffix}")
        beside.unlink(missing_ok=True)
        os.mkfifo(beside)
        with pytest.raises(JournalError, match=f"journal .*sqlite{suffix} is a pipe; inside a run there are"):
            opened(path)
        beside.unlink()
        beside.symlink_to("/dev/zero")
        with pytest.raises(JournalError, match=f"journal .*sqlite{suffix} is a symbolic link; inside a run"):
            opened(path)
        beside.unlink()
        beside.touch()
        os.truncate(beside, 2**30)
        with pytest.raises(JournalError, match=f"sqlite{suffix} has 1,073,741,824 bytes, most of which are"):
            opened(path)

    def test_another_format(self, path, opened):
        writer = begun(path)
        writer.execute("PRAGMA user_version = 99")
        writer.close()
        with pytest.raises(JournalError, match="has format 99, this version reads 1"):
            opened(path)


def test_half_a_copy_is_not_left_behind(path, tmp_path, monkeypatch):
    left = crashed(path)
    left.with_name("journal.sqlite-shm").unlink()
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def fails(source, target, most):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(connection, "_copy", fails)
    with pytest.raises(JournalError, match=r"crashed/journal.sqlite cannot be used: disk full"):
        numbers(left)
    assert list(temporary.iterdir()) == []
