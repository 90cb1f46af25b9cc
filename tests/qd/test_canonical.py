import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.canonical import LATER, canonical, number, plain, sha256
from qd.records import ComponentId

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda items: st.lists(items) | st.dictionaries(st.text(), items), max_leaves=20
)


@given(VALUES)
def test_finite_values_round_trip(value):
    assert json.loads(canonical(value)) == value


@given(st.floats())
def test_floats_round_trip_bit_for_bit(value):
    back = number(json.loads(canonical(value)))
    if math.isnan(value):
        assert math.isnan(back)
    else:
        assert back == value
        assert math.copysign(1, back) == (1 if value == 0 else math.copysign(1, value))


@given(st.dictionaries(st.text(), st.integers()), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value, random):
    keys = list(value)
    random.shuffle(keys)
    assert canonical({key: value[key] for key in keys}) == canonical(value)


@given(VALUES)
def test_text_is_ascii_and_a_fixed_point(value):
    text = canonical(value)
    assert text.isascii()
    assert canonical(json.loads(text)) == text


def test_form():
    @dataclasses.dataclass
    class Point:
        y: float
        x: tuple

    value = Point(
        -0.0, (ComponentId(1, 2, 3), np.float64(0.1), np.array([[1, 2]]), math.nan, -math.inf, "\u00e9")
    )
    expected = r'{"x":[[1,2,3],0.1,[[1,2]],"NaN","-Infinity","\u00e9"],"y":0.0}'
    assert canonical(value) == expected


def test_a_field_that_came_later_is_left_out_while_it_has_its_default():
    @dataclasses.dataclass
    class Point:
        x: np.ndarray
        y: float = 1.0
        z: float = dataclasses.field(default=2.0, metadata={LATER: True})

    assert canonical(Point(np.zeros(2))) == '{"x":[0.0,0.0],"y":1.0}'
    assert canonical(Point(np.zeros(2), z=3.0)) == '{"x":[0.0,0.0],"y":1.0,"z":3.0}'


def test_numpy_scalars_become_python_numbers():
    values = plain([np.float32(0.5), np.int64(3), np.bool_(True)])
    assert values == [0.5, 3, True]
    assert [type(value) for value in values] == [float, int, bool]


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), 1j])
def test_refuses_what_has_no_order_or_meaning(value):
    with pytest.raises(TypeError, match="canonical JSON has no form for"):
        canonical(value)


def test_refuses_keys_that_are_no_strings():
    with pytest.raises(TypeError, match="canonical JSON needs string keys"):
        canonical({1: 2})


def test_sha256_of_text_and_bytes():
    assert sha256("abc") == sha256(b"abc") == hashlib.sha256(b"abc").hexdigest()
