import fcntl
import json
import os
import re
import socket

import pytest

from archive_store.errors import LockError
from archive_store.lock import LOCK, check_free, held
from tests.faults.killed_drivers import hold, living


def refused(folder, holder):
    """Check that nobody else can be the driver, and who is named."""
    match = (
        rf"^{re.escape(str(folder))} is being written by {holder}; wait until it has ended, or end it first$"
    )
    with pytest.raises(LockError, match=match), held(folder):
        pass
    with pytest.raises(LockError, match=match):
        check_free(folder)


def test_it_says_who_holds_it_and_is_gone_afterwards(tmp_path):
    with held(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text()) == {"host": socket.gethostname(), "pid": os.getpid()}
        refused(tmp_path, f"process {os.getpid()} on {socket.gethostname()}")
    assert list(tmp_path.iterdir()) == []
    check_free(tmp_path)


@pytest.mark.long
def test_another_process_is_named_while_it_lives_and_is_in_nobodys_way_when_it_was_killed(tmp_path):
    with living(hold, tmp_path) as process:
        refused(tmp_path, f"process {process.pid} on {socket.gethostname()}")
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == process.pid
    check_free(tmp_path)
    with held(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_it_stays_held_when_the_folder_takes_another_name(tmp_path):
    (tmp_path / "partial").mkdir()
    with held(tmp_path / "partial"):
        (tmp_path / "partial").rename(tmp_path / "run")
        refused(tmp_path / "run", f"process {os.getpid()} on .*")
    assert list((tmp_path / "run").iterdir()) == []


def test_it_is_let_go_after_an_error_and_when_the_folder_is_gone(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    (tmp_path / "run").mkdir()
    with held(tmp_path / "run"):
        (tmp_path / "run" / LOCK).unlink()
        (tmp_path / "run").rmdir()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lost_its_name_before_it_was_locked_is_not_taken_for_the_lock(tmp_path, monkeypatch):
    """Its holder removed it between the other's opening and locking it."""
    lock = fcntl.flock
    opened = []

    def late(file, operation):
        opened.append(file)
        if len(opened) == 1:
            (tmp_path / LOCK).unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with held(tmp_path):
        assert len(opened) == 2
        refused(tmp_path, f"process {os.getpid()} on .*")


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b'{"pid": "x", "host": 1}', b"\xff"])
def test_a_holder_that_has_not_said_who_it_is_blocks_too(tmp_path, said):
    with held(tmp_path):
        (tmp_path / LOCK).write_bytes(said)
        refused(tmp_path, "another process")


def test_what_cannot_be_locked_is_one_sentence(tmp_path):
    missing = "nowhere cannot be locked: No such file or directory; a run needs a folder that can be written"
    with pytest.raises(LockError, match=missing), held(tmp_path / "nowhere"):
        pass
    (tmp_path / LOCK).mkdir()
    with pytest.raises(LockError, match="cannot be locked: Is a directory"), held(tmp_path):
        pass
    check_free(tmp_path / "nowhere")


@pytest.mark.parametrize("there", [True, False])
def test_a_lock_that_is_a_link_is_refused_and_its_target_left_alone(tmp_path, there):
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    if there:
        outside.write_text("precious")
    (run / LOCK).symlink_to(outside)
    with pytest.raises(LockError, match=r"run/lock is a symbolic link; remove it"), held(run):
        pass
    check_free(run)
    assert outside.exists() == there
    assert not there or outside.read_text() == "precious"


def test_a_lock_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(LockError, match=r"lock is no plain file; remove it"), held(tmp_path):
        pass
