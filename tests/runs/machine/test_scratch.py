import os
import stat
from pathlib import Path

from runs.machine.scratch import PREFIX, scratch
from tests.faults.killed_drivers import killed, own_a_folder_and_die


def test_it_is_private_and_goes(tmp_path):
    with scratch(str(tmp_path)) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_the_next_start_sweeps_what_a_killed_process_left_and_nothing_else(tmp_path):
    killed(own_a_folder_and_die, str(tmp_path))
    (left,) = tmp_path.iterdir()
    assert (left / "sockets").is_file()
    others = [tmp_path / "plasmodia-of-before", tmp_path / f"{PREFIX}link"]
    others[0].mkdir()
    others[1].symlink_to(others[0])
    with scratch(str(tmp_path)) as first, scratch(str(tmp_path)) as second:
        assert {*tmp_path.iterdir()} == {first, second, *others}
    assert {*tmp_path.iterdir()} == {*others}


def test_what_is_another_users_is_left(tmp_path, monkeypatch):
    killed(own_a_folder_and_die, str(tmp_path))
    (left,) = tmp_path.iterdir()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with scratch(str(tmp_path)):
        assert left.exists()


def test_where_nothing_can_be_locked_it_works_and_nothing_is_swept(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError("no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    left = Path(tmp_path / f"{PREFIX}left")
    left.mkdir()
    with scratch(str(tmp_path)) as folder:
        assert {*tmp_path.iterdir()} == {folder, left}
