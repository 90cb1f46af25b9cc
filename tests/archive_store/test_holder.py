"""Whether a run is driven is told without its lock."""

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from archive_store.holder import is_driven
from archive_store.lock import held


def noted(folder: Path, **value: object) -> Path:
    (folder / "lock").write_text(json.dumps(value))
    return folder


def test_a_run_is_driven_for_as_long_as_its_lock_is_held(tmp_path):
    assert is_driven(tmp_path) is None
    with held(tmp_path):
        assert is_driven(tmp_path) is True
    assert is_driven(tmp_path) is None


def test_nothing_is_locked_by_it(tmp_path, monkeypatch):
    with held(tmp_path):
        monkeypatch.setattr(fcntl, "flock", lambda *given: pytest.fail("a lock was tried"))
        assert is_driven(tmp_path) is True


def test_a_driver_that_died_drives_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    noted(tmp_path, host=socket.gethostname(), pid=int(done.stdout))
    assert is_driven(tmp_path) is False


def test_a_process_that_began_later_only_has_the_number_of_the_one_that_died(tmp_path):
    noted(tmp_path, host=socket.gethostname(), pid=os.getpid())
    assert is_driven(tmp_path) is True
    os.utime(tmp_path / "lock", (10**9, 10**9))  # 2001
    assert is_driven(tmp_path) is False


def test_a_process_that_nobody_has_asked_after_is_dead(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    noted(tmp_path, host=socket.gethostname(), pid=child.pid)
    assert is_driven(tmp_path) is False
    child.wait()


def test_without_word_of_the_system_a_process_that_is_there_drives(tmp_path):
    noted(tmp_path, host=socket.gethostname(), pid=os.getpid())
    os.utime(tmp_path / "lock", (10**9, 10**9))
    assert is_driven(tmp_path, processes=tmp_path) is True


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"pid": "x", "host": 3}'])
def test_who_has_not_said_yet_who_it_is_drives(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    assert is_driven(tmp_path) is True


def test_a_driver_of_another_machine_is_taken_to_live(tmp_path):
    noted(tmp_path, host="another machine", pid=1)
    assert is_driven(tmp_path) is True


def test_a_link_is_no_lock(tmp_path):
    (tmp_path / "lock").symlink_to("/dev/zero")
    assert is_driven(tmp_path) is None
