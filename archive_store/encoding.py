"""Serialisation of named arrays and a value: the one encoding of states, genomes and centroids.

The bytes are a safetensors file. Equal content gives equal bytes: safetensors orders tensors by itself,
but its metadata map has no order, so there is one entry, ``plasmodia``, the canonical JSON of the value.
"""

import json
import re
from collections.abc import Iterable, Mapping
from operator import index
from typing import Any

import numpy as np

from archive_store.errors import UNREADABLE, EncodingError
from qd.canonical import canonical, number
from qd.measures import FEWEST_MEASURES, MOST_MEASURES
from qd.records import Genome

LARGEST_HEADER = 1 << 20  # bytes; safetensors itself accepts 100 MB and then spends seconds on empty tensors
ALIGNMENT = 64  # bytes, a cache line: the bits of a product can depend on alignment
_KEY = "plasmodia"
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,200}")
_DTYPES = {
    "BOOL": "|b1", "I8": "|i1", "U8": "|u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4",
    "I64": "<i8", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def encode(tensors: Mapping[str, np.ndarray], meta: Any) -> bytes:
    """Encode arrays by name, and a value that has canonical JSON.

    Arrays are stored in C order; strides are not kept. Equal arguments give equal bytes, whatever the
    order of the mapping.

    Parameters
    ----------
    tensors
        Arrays of any shape; boolean, integer of 8 to 64 bits, or float of 16 to 64 bits.
    meta
        Anything that `qd.canonical.canonical` writes.

    Raises
    ------
    EncodingError
        For a name, a type or an amount of metadata that `decode` would refuse.
    """
    import safetensors.numpy

    _check_names(tensors)
    arrays = {name: _storable(name, tensors[name]) for name in sorted(tensors)}
    data = safetensors.numpy.save(arrays, metadata={_KEY: canonical(meta)})
    size = int.from_bytes(data[:8], "little")
    if size > LARGEST_HEADER:
        raise EncodingError(
            f"the header takes {size} bytes and at most {LARGEST_HEADER} are read; store fewer names"
        )
    return data


def decode(data: bytes) -> tuple[dict[str, np.ndarray], Any]:
    """Read what `encode` wrote.

    Returns
    -------
    tensors, meta
        Fresh, writable, C-ordered arrays at addresses divisible by 64, sorted by name; and the value as
        JSON gives it (lists for tuples; non-finite floats are strings, see `qd.canonical.number`).

    Raises
    ------
    EncodingError
        If the bytes are not such an encoding.
    """
    import safetensors.numpy
    from safetensors import SafetensorError

    header = _header(data)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or list(metadata) != [_KEY]:
        raise EncodingError(
            f"the bytes are safetensors without the metadata entry {_KEY!r}; they were not written here"
        )
    _check_names(header)
    for name, entry in header.items():
        if not isinstance(entry, dict) or str(entry.get("dtype")) not in _DTYPES:
            raise EncodingError(
                f"array {name!r} has no type that is stored here; known are {', '.join(_DTYPES)}"
            )
    try:
        arrays = safetensors.numpy.load(data)
        meta = json.loads(metadata[_KEY])
    except (SafetensorError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise EncodingError(f"the bytes are not valid safetensors: {error}") from None
    return {name: aligned_copy(arrays[name]) for name in sorted(arrays)}, meta


def shapes(data: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of an encoding by name, without reading the arrays.

    Raises
    ------
    EncodingError
        If the bytes have no such header.
    """
    header = _header(data)
    header.pop("__metadata__", None)
    try:
        found = {name: tuple(map(index, entry["shape"])) for name, entry in header.items()}
    except UNREADABLE as error:
        raise EncodingError(f"the header gives no shapes ({error!r:.80}); the file is damaged") from None
    return found


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """Copy an array into fresh memory in C order, at an address divisible by `ALIGNMENT`."""
    memory = np.empty(array.nbytes + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def encode_genome(genome: Genome) -> bytes:
    """Encode a genome; its SHA-256 is what records call ``genome``."""
    return encode(genome.arrays, {"depth": genome.depth, "family": genome.family, "genes": genome.genes})


def decode_genome(data: bytes) -> Genome:
    """Read what `encode_genome` wrote.

    Raises
    ------
    EncodingError
        If the bytes are not an encoding, or one of something else.
    """
    arrays, meta = decode(data)
    if not isinstance(meta, dict) or set(meta) != {"depth", "family", "genes"}:
        raise EncodingError(
            "the bytes encode something other than a genome; give the digest that a record calls genome"
        )
    try:
        genes = tuple((str(name), number(value)) for name, value in meta["genes"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise EncodingError(f"the genes of a genome cannot be read ({error!r})") from None
    genome = Genome(meta["family"], meta["depth"], genes, arrays)
    if type(genome.family) is not str or type(genome.depth) is not int or encode_genome(genome) != data:
        raise EncodingError("the bytes encode a genome in another form than is written here")
    return genome


def decode_centroids(data: bytes) -> np.ndarray:
    """Read the centroids of a run, float64 [cells, p], one column per measure.

    Raises
    ------
    EncodingError
        If the bytes are not an encoding, or one of something else.
    """
    arrays, _ = decode(data)
    points = arrays.get("centroids")
    if points is None or len(arrays) != 1:
        raise EncodingError("the bytes encode something other than centroids; give the digest of centroids")
    if (
        points.dtype != np.float64
        or points.ndim != 2
        or not FEWEST_MEASURES <= points.shape[1] <= MOST_MEASURES
    ):
        raise EncodingError(
            f"centroids are float64 [cells, p] with p from {FEWEST_MEASURES} to {MOST_MEASURES}, "
            f"not {points.dtype} {list(points.shape)}"
        )
    if not ((points >= 0) & (points <= 1)).all() or not 0 < len(points) == len(np.unique(points, axis=0)):
        raise EncodingError("centroids are different points of the unit cube; these are not")
    return points


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    little = np.asarray(array).dtype.newbyteorder("<")
    if little.str not in _DTYPES.values():
        raise EncodingError(
            f"array {name!r} is {array.dtype}; stored are bool, int8 to int64 and float16 to float64"
        )
    return np.array(array, dtype=little, order="C")


def _header(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(LARGEST_HEADER, len(data) - 8):
        raise EncodingError(
            f"{len(data)} bytes with a header of {size} are not an encoding; the file is cut or foreign"
        )
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"the header is not JSON ({error}); the file is damaged or foreign") from None
    if not isinstance(header, dict):
        raise EncodingError("the header is not a JSON object; the file is damaged or foreign")
    return header


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise EncodingError(
                f"array name {name!r} is not 1 to 200 letters, digits, '_', '.', ':', '/' or '-'"
            )
