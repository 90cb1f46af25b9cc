import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_store.blobs import BlobStore
from archive_store.errors import BlobError, ForeignFileError


@pytest.fixture
def store(tmp_path):
    return BlobStore(tmp_path / "blobs")


def test_a_blob_lies_under_the_digest_of_its_bytes(store, tmp_path):
    digest = store.put(b"hello")
    assert digest == hashlib.sha256(b"hello").hexdigest()
    path = tmp_path / "blobs" / digest[:2] / f"{digest}.safetensors"
    assert path.read_bytes() == b"hello"
    assert store.path(digest) == path
    assert store.get(digest) == b"hello"


def test_several_blobs_keep_their_order_and_are_listed_by_digest(store):
    items = [b"a", b"b", b"a", b""]
    digests = store.put_all(items)
    assert [store.get(digest) for digest in digests] == items
    assert list(store.digests()) == sorted(set(digests))


def test_an_intact_blob_is_not_written_again_and_a_damaged_one_is(store):
    digest = store.put(b"hello")
    before = store.path(digest).stat().st_ino
    store.put(b"hello")
    assert store.path(digest).stat().st_ino == before
    store.path(digest).write_bytes(b"hellO")
    store.put(b"hello")
    assert store.get(digest) == b"hello"


def test_removing_is_final_and_may_be_repeated(store):
    digest = store.put(b"x")
    assert store.has(digest)
    store.remove(digest)
    store.remove(digest)
    assert not store.has(digest)
    assert list(store.digests()) == []


def test_a_missing_blob_is_named(store):
    with pytest.raises(BlobError, match=r"blob 0{64} is missing: there is no file .*blobs/00/"):
        store.get("0" * 64)


def test_an_unreadable_blob_is_named(store):
    store.path("0" * 64).mkdir(parents=True)
    with pytest.raises(BlobError, match=r"blobs/00/.* is a folder; inside a run there are plain files"):
        store.get("0" * 64)


@pytest.mark.parametrize("digest", ["", "ab", "../../etc/passwd", "A" * 64, "0" * 63 + "\n"])
def test_only_digests_name_blobs(store, digest):
    with pytest.raises(BlobError, match="64 lowercase hexadecimal digits"):
        store.path(digest)


@given(data=st.binary(min_size=1, max_size=50), draw=st.data())
def test_any_flipped_bit_is_found_and_both_digests_are_named(tmp_path_factory, data, draw):
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    digest = store.put(data)
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    store.path(digest).write_bytes(damaged)
    found = hashlib.sha256(damaged).hexdigest()
    with pytest.raises(BlobError, match=rf"{digest}.safetensors is damaged: its bytes have SHA-256 {found}"):
        store.get(digest)


def test_what_an_interrupted_write_left_is_no_blob(store):
    digest = store.put(b"x")
    store.path(digest).with_name("f" * 64 + ".safetensors.99.partial").write_bytes(b"half")
    assert list(store.digests()) == [digest]


def test_its_folders_are_named_once_there_are_any(store):
    assert store.folders() == [store.root]
    folder = store.path(store.put(b"x")).parent
    assert store.folders() == [store.root, folder]


def test_a_folder_that_is_a_link_is_neither_read_nor_written_nor_cleaned(store, tmp_path):
    digest = store.put(b"content")
    outside = tmp_path / "outside"
    store.path(digest).parent.rename(outside)
    store.path(digest).parent.symlink_to(outside)
    before = {path: path.stat() for path in outside.iterdir()}
    told = r"blobs/.. is a symbolic link and no folder; inside a run"
    with pytest.raises(BlobError, match=told):
        store.get(digest)
    for act in (
        lambda: store.put(b"content"),
        lambda: store.remove(digest),
        lambda: list(store.digests()),
        store.folders,
    ):
        with pytest.raises(ForeignFileError, match=told):
            act()
    assert {path: path.stat() for path in outside.iterdir()} == before


def test_a_blob_that_is_a_link_is_damaged_and_written_again_in_its_place(store, tmp_path):
    digest = store.put(b"content")
    path = store.path(digest)
    path.unlink()
    (tmp_path / "outside").write_bytes(b"content")
    path.symlink_to(tmp_path / "outside")
    assert not store.has(digest)
    assert not store.intact(digest)
    store.put(b"content")
    assert path.read_bytes() == b"content"
    assert not path.is_symlink()
