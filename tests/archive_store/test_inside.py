import os
import socket

import pytest

from archive_store import inside
from archive_store.errors import ForeignFileError


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "blobs" / "ab").mkdir(parents=True)
    (folder / "blobs" / "ab" / "file").write_bytes(b"content")
    return folder


WAYS = [
    lambda run, path: inside.look(run, path),
    lambda run, path: inside.read(run, path),
    lambda run, path: inside.opened(run, path).__enter__(),
]


def test_a_plain_file_is_read_also_where_the_run_itself_is_reached_through_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    for root in (run, tmp_path / "link"):
        path = root / "blobs" / "ab" / "file"
        assert inside.read(root, path) == b"content"
        assert inside.look(root, path).st_size == 7
        assert inside.is_there(root, path)
        inside.check_folder(root, path.parent)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_there_is_not_there(way, run):
    for path in (run / "file", run / "nowhere" / "file"):
        with pytest.raises(FileNotFoundError):
            way(run, path)
        assert not inside.is_there(run, path)
        inside.check_folder(run, path.parent)


@pytest.mark.parametrize("way", WAYS)
def test_no_link_is_followed(way, run):
    (run / "link").symlink_to(run / "blobs" / "ab" / "file")
    (run / "blobs" / "zz").symlink_to(run / "blobs" / "ab")
    with pytest.raises(ForeignFileError, match="run/link is a symbolic link; inside a run there are plain"):
        way(run, run / "link")
    with pytest.raises(ForeignFileError, match="blobs/zz is a symbolic link and no folder; inside a run"):
        way(run, run / "blobs" / "zz" / "file")
    with pytest.raises(ForeignFileError, match="blobs/zz is a symbolic link and no folder"):
        inside.check_folder(run, run / "blobs" / "zz")
    assert not inside.is_there(run, run / "link")
    assert not inside.is_there(run, run / "blobs" / "zz" / "file")


def test_a_link_that_comes_between_looking_and_opening_is_not_followed(run, monkeypatch):
    path = run / "blobs" / "ab" / "file"
    look = os.stat

    def exchanged(name, **options):
        found = look(name, **options)
        path.rename(run / "other")
        path.symlink_to(run / "other")
        return found

    monkeypatch.setattr(os, "stat", exchanged)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        inside.read(run, path)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_waited_for(way, run, monkeypatch):
    os.mkfifo(run / "pipe")
    monkeypatch.chdir(run)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name, kind in (("pipe", "a pipe"), ("socket", "a socket"), ("blobs", "a folder")):
            with pytest.raises(ForeignFileError, match=f"run/{name} is {kind}; inside a run"):
                way(run, run / name)
    with pytest.raises(ForeignFileError, match="file is a file and no folder"):
        way(run, run / "blobs" / "ab" / "file" / "below")


@pytest.mark.parametrize("way", WAYS)
def test_large_files_and_files_of_holes_are_not_read(way, run):
    path = run / "blobs" / "ab" / "file"
    os.truncate(path, inside.LARGEST_BLOB + 1)
    with pytest.raises(ForeignFileError, match="file has 4,294,967,297 bytes, and at most 4,294,967,296 are"):
        way(run, path)
    os.truncate(path, 2**30)
    with pytest.raises(ForeignFileError, match="file has 1,073,741,824 bytes, most of which are holes"):
        way(run, path)
    os.truncate(path, 2**20)
    way(run, path)
