import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from archive_store.encoding import (
    ALIGNMENT,
    LARGEST_HEADER,
    aligned_copy,
    decode,
    decode_centroids,
    decode_genome,
    encode,
    encode_genome,
)
from archive_store.errors import EncodingError
from qd.canonical import sha256
from qd.records import Genome

WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
dtypes = st.sampled_from(["bool", *WHOLE, "float16", "float32", "float64"])
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
)
names = st.from_regex(r"[a-z][a-z0-9_.:/-]{0,8}", fullmatch=True)
GENOME = Genome("pseudopods", 1, (("rank", 3.0), ("width", 4.0)), {"qk.U": np.ones((4, 3), np.float32)})


@given(
    tensors=st.dictionaries(names, arrays, max_size=4),
    meta=st.dictionaries(st.text(max_size=5), st.integers()),
)
def test_decoding_gives_back_the_bits_in_fresh_aligned_memory(tensors, meta):
    data = encode(tensors, meta)
    found, found_meta = decode(data)
    assert found_meta == meta
    assert list(found) == sorted(tensors)
    for name, array in found.items():
        assert array.dtype == tensors[name].dtype
        assert array.shape == tensors[name].shape
        assert array.tobytes() == tensors[name].tobytes()  # NaN payloads and -0.0 too
        assert array.size == 0 or array.ctypes.data % ALIGNMENT == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert encode(dict(reversed(tensors.items())), meta) == data
    assert encode(found, found_meta) == data


def test_other_readers_of_safetensors_see_the_same_arrays():
    found = safetensors.numpy.load(encode({"a": np.arange(3)}, None))
    np.testing.assert_array_equal(found["a"], [0, 1, 2])


def test_strides_and_byte_order_do_not_matter():
    square = np.arange(9, dtype=np.float64).reshape(3, 3)
    assert encode({"a": square.T}, 1) == encode({"a": square.T.copy()}, 1)
    assert encode({"a": square.astype(">f8")}, 1) == encode({"a": square}, 1)


@pytest.mark.parametrize("hashing", ["0", "1"])
def test_the_bytes_are_the_same_in_every_process(hashing):
    code = (
        "import numpy as np; from archive_store.encoding import encode; from qd.canonical import sha256;"
        "print(sha256(encode({n: np.arange(4) for n in 'dcba'}, {'z': 1, 'y': [2.5]})))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": hashing}
    )
    expected = sha256(encode({n: np.arange(4) for n in "abcd"}, {"y": [2.5], "z": 1}))
    assert found.stdout.strip() == expected, found.stderr


@given(array=arrays)
def test_an_aligned_copy_shares_no_memory(array):
    copy = aligned_copy(array)
    assert copy.tobytes() == array.tobytes()
    assert not np.shares_memory(copy, array)
    assert copy.size == 0 or copy.ctypes.data % ALIGNMENT == 0


def test_a_genome_comes_back_with_sorted_genes_and_its_arrays():
    found = decode_genome(encode_genome(GENOME))
    assert (found.family, found.depth, found.genes) == ("pseudopods", 1, GENOME.genes)
    np.testing.assert_array_equal(found.arrays["qk.U"], GENOME.arrays["qk.U"])


def test_something_else_is_no_genome():
    with pytest.raises(EncodingError, match="other than a genome"):
        decode_genome(encode({"a": np.zeros(2)}, {"family": "pseudopods"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": 1}, "in another form"),
        ({"depth": 1.0}, "in another form"),
        ({"depth": None}, "in another form"),
        ({"genes": 1}, "genes of a genome cannot be read"),
        ({"genes": [["rank"]]}, "genes of a genome cannot be read"),
        ({"genes": [["rank", "many"]]}, "genes of a genome cannot be read"),
        ({"genes": [["rank", 10**400]]}, "genes of a genome cannot be read"),
        ({"genes": [[1, 1.0]]}, "in another form"),
    ],
)
def test_a_genome_of_another_form_is_refused(change, message):
    meta = {"family": "pseudopods", "depth": 1, "genes": [["rank", 3.0]]}
    decode_genome(encode(GENOME.arrays, meta))
    with pytest.raises(EncodingError, match=message):
        decode_genome(encode(GENOME.arrays, meta | change))


POINTS = np.linspace(0, 1, 10).reshape(2, 5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "other than centroids"),
        ({"points": POINTS}, "other than centroids"),
        ({"centroids": POINTS, "more": POINTS}, "other than centroids"),
        ({"centroids": POINTS.astype(np.float32)}, r"\[cells, p\] with p from 2 to 8, not float32 \[2, 5\]"),
        ({"centroids": POINTS[0]}, r"not float64 \[5\]"),
        ({"centroids": POINTS[:, :1]}, r"not float64 \[2, 1\]"),
        ({"centroids": np.eye(2, 9)}, r"not float64 \[2, 9\]"),
        ({"centroids": POINTS[:0]}, "different points of the unit cube"),
        ({"centroids": POINTS[[0, 0]]}, "different points of the unit cube"),
        ({"centroids": POINTS * 2}, "different points of the unit cube"),
        ({"centroids": POINTS * np.nan}, "different points of the unit cube"),
    ],
)
def test_only_centroids_are_read_as_centroids(arrays, message):
    for points in (POINTS, POINTS[:, :2], np.eye(2, 8)):
        np.testing.assert_array_equal(decode_centroids(encode({"centroids": points}, {})), points)
    with pytest.raises(EncodingError, match=message):
        decode_centroids(encode(arrays, {}))


@pytest.mark.parametrize("name", ["", "a b", "\u00fc", "x" * 201, "a\n"])
def test_names_are_plain(name):
    with pytest.raises(EncodingError, match=r"array name .* is not 1 to 200"):
        encode({name: np.zeros(1)}, None)


@pytest.mark.parametrize("array", [np.zeros(1, complex), np.array(["a"]), np.array([None])])
def test_only_numbers_are_stored(array):
    with pytest.raises(EncodingError, match=r"array 'a' is .*; stored are bool, int8 to int64"):
        encode({"a": array}, None)


def test_more_names_than_a_header_holds_are_refused_when_writing():
    with pytest.raises(EncodingError, match=r"header takes \d+ bytes and at most 1048576"):
        encode({}, "x" * LARGEST_HEADER)


def framed(header) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


META = {"__metadata__": {"plasmodia": "null"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes with a header of 0"),
        (b"\xff" * 20, "are not an encoding; the file is cut or foreign"),
        (framed(META)[:-3], "cut or foreign"),
        ((LARGEST_HEADER + 1).to_bytes(8, "little") + b" " * (LARGEST_HEADER + 1), "cut or foreign"),
        (framed(b"{nonsense"), "header is not JSON"),
        (framed(b"[" * 100_000), "header is not JSON"),
        (framed([1]), "not a JSON object"),
        (framed({}), "without the metadata entry 'plasmodia'"),
        (framed({"__metadata__": {"format": "pt"}}), "without the metadata entry 'plasmodia'"),
        (framed(META | {"a b": {}}), "array name 'a b'"),
        (framed(META | {"a": {"dtype": "BF16"}}), "array 'a' has no type that is stored"),
        (framed(META | {"a": 3}), "array 'a' has no type that is stored"),
        (
            framed(META | {"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
            "not valid safetensors",
        ),
        (framed({"__metadata__": {"plasmodia": "{"}}), "not valid safetensors"),
    ],
)
def test_foreign_bytes_are_refused_in_one_sentence(data, message):
    with pytest.raises(EncodingError, match=message):
        decode(data)


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_no_bytes_at_all_do_anything_but_raise_our_error(data, cut):
    for bad in (data, encode_genome(GENOME)[:cut]):
        if bad != encode_genome(GENOME):
            with pytest.raises(EncodingError):
                decode(bad)
