"""Hypothesis strategies for what was written well and damaged since."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([10**30, -(10**400), 2**63])
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(
        ["NaN", "Infinity", "archive", "insert", "0" * 64, "\ud800", "a\x00b", "~none/x", ".npy"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def mutated_bytes(whole: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with up to four spans cut out, overwritten, flipped or said twice."""

    def mutate(draw: Callable[..., Any]) -> bytes:
        data = bytearray(whole)
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, max(0, len(data) - 1)))
            end = start + draw(st.sampled_from([0, 1, 1, 2, 8, 100, len(data)]))
            span = bytes(data[start:end])
            flipped = bytes(byte ^ draw(st.integers(1, 255)) for byte in span[:8]) + span[8:]
            others = st.sampled_from([b"", span + span]) | st.binary(max_size=8)
            data[start:end] = flipped if draw(st.integers(0, 3)) else draw(others)
        return bytes(data)

    return st.composite(mutate)()


def mutated_json(value: Any) -> st.SearchStrategy[Any]:
    """A value of lists and dictionaries with one part replaced, removed or added."""

    def mutate(draw: Callable[..., Any], value: Any) -> Any:
        if not isinstance(value, (list, dict)) or not value or draw(st.integers(0, 9)) == 0:
            return draw(JSON)
        keys = range(len(value)) if isinstance(value, list) else sorted(value)
        key = draw(st.sampled_from(keys))
        copy = value.copy()
        match draw(st.sampled_from(["change", "change", "change", "remove", "add"])):
            case "change":
                copy[key] = mutate(draw, value[key])
            case "remove":
                del copy[key]
            case "add" if isinstance(copy, list):
                copy.append(draw(JSON))
            case "add":
                copy[draw(st.text(max_size=3))] = draw(JSON)
        return copy

    return st.composite(lambda draw: mutate(draw, value))()
