import numpy as np
import pandas as pd
import pytest
import torch

from organisms.arrays import floats, numeric, symbols

CODES = np.array([3, 0, 2, 1])
READ_ONLY = CODES.copy()
READ_ONLY.setflags(write=False)
SYMBOLS = {
    "list": CODES.tolist(),
    "truth values": CODES > 0,
    "foreign byte order": CODES.astype(">i4"),
    "unsigned": CODES.astype(np.uint16),
    "real": CODES.astype(np.float64),
    "half": CODES.astype(np.float16),
    "objects": CODES.astype(object),
    "nothing masked": np.ma.masked_array(CODES),
    "tensor": torch.from_numpy(CODES),
    "tensors": list(torch.from_numpy(CODES)),
    "Int64": pd.Series(CODES, dtype="Int64"),
    "boolean": pd.Series(CODES > 0, dtype="boolean"),
    "category": pd.Series(CODES, dtype="category"),
}
NUMBERS = SYMBOLS | {
    "double": CODES / 4,
    "longdouble": (CODES / 4).astype(np.longdouble),
    "foreign floats": (CODES / 4).astype(">f4"),
    "gradients": torch.ones(4, requires_grad=True),
    "bfloat16": torch.tensor([0.25, 0.5], dtype=torch.bfloat16),
    "Float64": pd.Series(CODES / 4, dtype="Float64"),
    "frame": pd.DataFrame({"a": pd.Series([1, 2], dtype="Int64"), "b": [0.5, 1.0], "c": [True, False]}),
}


def by_elements(given):
    """The numbers one by one, as Python sees them."""
    given = given.to_numpy(dtype=object) if hasattr(given, "to_numpy") else given
    rows = given.tolist() if hasattr(given, "tolist") else given
    return [[float(each) for each in row] if isinstance(row, list) else float(row) for row in rows]


@pytest.mark.parametrize("given", SYMBOLS.values(), ids=SYMBOLS)
def test_whole_numbers_become_integers_that_torch_takes(given):
    found = symbols("x", given)
    assert found.dtype.kind in "iu"
    assert torch.tensor(found).long().tolist() == by_elements(given)


@pytest.mark.parametrize("given", NUMBERS.values(), ids=NUMBERS)
def test_numbers_become_float32(given):
    found = floats("x", given)
    assert found.dtype == np.float32
    assert torch.tensor(found).tolist() == by_elements(given)


@pytest.mark.parametrize("array", [CODES, CODES.astype(np.uint8), CODES.astype(np.uint16), READ_ONLY])
def test_integers_and_float32_are_returned_as_they_are(array):
    assert symbols("x", array) is array
    assert numeric("x", array) is array
    real = array.astype(np.float32)
    assert floats("x", real) is real


class Closed:
    def __array__(self, dtype=None, copy=None):
        raise OSError("file is\nclosed")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "x must be an array of numbers, not None"),
        ({"a": 1}, "x must be an array of numbers, not a dict"),
        ([[1], [2, 3]], "NumPy cannot read this list: setting an array element with a sequence"),
        (Closed(), "NumPy cannot read this Closed: file is closed"),
        (["cat", "dog"], r"x must be an array of numbers, but holds text; number them: np\.unique"),
        (pd.Series(["cat"], dtype="string"), "but holds text"),
        (pd.Series(["cat"], dtype="category"), "but holds text"),
        (np.array(["2026-01-01"], dtype="M8[D]"), "but holds dates$"),
        (np.array([1j]), "but holds complex numbers"),
        (np.array([1, {}], dtype=object), "but holds a "),
        (
            np.ma.masked_array([[1, 2, 3]], [[False, True, True]]),
            r"but 2 of 3 are missing, the first at \[0, 1\]; fill",
        ),
        ([1, None, None], r"but 2 of 3 are missing, the first at \[1\]"),
    ],
)
def test_what_are_no_numbers_is_named(given, message):
    for read in (symbols, floats, numeric):
        with pytest.raises(ValueError, match=message):
            read("x", given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [0.5, 1, 2.25],
            "x must be whole numbers, but 2 of its 3 float64 numbers are not, the first of them 0.5",
        ),
        ([1, np.nan], r"x must be an array of numbers, but 1 of 2 are missing, the first at \[1\]"),
        (pd.Series([1, None], dtype="Int64"), r"but 1 of 2 are missing, the first at \[1\]"),
        ([np.inf], "the first of them inf"),
        ([1e30], "the first of them 1e\\+30"),
    ],
)
def test_real_numbers_are_no_symbols_unless_they_are_whole(given, message):
    with pytest.raises(ValueError, match=message):
        symbols("x", given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [0.1, 0.5],
            r"x must be float32, .*, and 1 of its 2 float64 numbers would be rounded; use \.astype\(np\.float32\)",
        ),
        ([2**24 + 1, -(2**24) - 1, 2**24], "2 of its 3 int64 numbers would be rounded"),
        ([1e300], "1 of its 1 float64 numbers would be rounded"),
        (np.array([2**64 - 1], dtype=np.uint64), "1 of its 1 uint64 numbers would be rounded"),
    ],
)
def test_numbers_that_float32_does_not_hold_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        floats("x", given)


def test_what_is_not_finite_is_converted_and_left_to_the_task():
    assert floats("x", [np.nan, np.inf]).dtype == np.float32
