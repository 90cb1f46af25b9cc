import errno
import os
import secrets

import pytest

from archive_store import durable
from archive_store.errors import WriteError


def test_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    durable.write(tmp_path / "a", b"one, and longer")
    durable.write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    durable.write(tmp_path / "a", b"old")

    def fails(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(
        WriteError, match=r"a cannot be written: No space left on device; .* when there is room again"
    ):
        durable.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_written_anew_all_the_time_is_whole_and_waits_for_no_disk(tmp_path, monkeypatch):
    def forbidden(descriptor):
        raise AssertionError("it waited for the disk")

    monkeypatch.setattr(os, "fsync", forbidden)
    for data in (b"first", b"second, and longer"):
        durable.renew(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_the_system_takes_in_pieces_is_whole(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    durable.write(tmp_path / "a", b"eleven bytes")
    assert (tmp_path / "a").read_bytes() == b"eleven bytes"


def test_every_new_folder_gets_a_durable_name(tmp_path, monkeypatch):
    synchronised = []
    monkeypatch.setattr(durable, "sync_directory", synchronised.append)
    for _ in range(2):
        durable.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synchronised == [tmp_path, tmp_path / "a"]


def test_what_cannot_be_done_is_told_by_its_place(tmp_path):
    (tmp_path / "file").touch()
    for act in (
        lambda: durable.make_directory(tmp_path / "file" / "a"),
        lambda: durable.remove(tmp_path),
        lambda: durable.rename(tmp_path / "none", tmp_path / "file"),
        lambda: durable.sync_directory(tmp_path / "none"),
    ):
        with pytest.raises(
            WriteError, match=rf"^{tmp_path}.* cannot be written: .*; the run can be resumed when"
        ):
            act()


def test_removing_what_is_not_there_does_nothing(tmp_path):
    durable.write(tmp_path / "a", b"x")
    for _ in range(2):
        durable.remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_file_then_name_then_folder_are_made_durable(tmp_path, monkeypatch):
    seen = []
    fsync = os.fsync

    def watched(descriptor):
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append((tmp_path / "a").exists())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    durable.write(tmp_path / "a", b"x")
    partial = seen.pop(0)
    assert partial.startswith(str(tmp_path / "a."))
    assert partial.endswith(durable.PARTIAL)
    assert seen == [False, str(tmp_path), True]


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("disk / ext4 rw 0 0\n", False),
        ("disk / ext4 rw 0 0\nserver:/x {folder} nfs4 rw 0 0\n", True),
        ("server:/x / nfs rw 0 0\ndisk {folder} ext4 rw 0 0\n", False),
        ("disk / ext4 rw 0 0\nserver:/x {folder}/other nfs rw 0 0\n", False),
        ("", False),
    ],
)
def test_the_innermost_mount_says_whether_a_path_is_on_the_network(tmp_path, mounts, expected):
    folder = tmp_path / "a b"
    folder.mkdir()
    table = tmp_path / "mounts"
    table.write_text(mounts.format(folder=str(folder).replace(" ", "\\040")))
    assert durable.on_network(folder / "journal.sqlite", table) is expected


def test_without_a_mount_table_nothing_is_on_the_network(tmp_path):
    assert durable.on_network(tmp_path, tmp_path / "none") is False


def test_half_a_file_has_a_name_that_nobody_can_foresee(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(os, "replace", lambda partial, path: names.append(partial))
    for _ in range(2):
        durable.place(tmp_path / "a", b"x")
    assert names[0] != names[1]


def test_half_a_file_is_not_written_through_a_link(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda size: "known")
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / f"a.known{durable.PARTIAL}").symlink_to(tmp_path / "outside")
    with pytest.raises(WriteError, match="a cannot be written: File exists"):
        durable.place(tmp_path / "a", b"x")
    assert (tmp_path / "outside").read_bytes() == b"precious"
