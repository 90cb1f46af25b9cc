import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pytest

from qd.canonical import LATER
from qd.typed import LARGEST_COUNT, LONGEST_LIST, LONGEST_TEXT, Finite, Share, reader


class Pair(NamedTuple):
    first: int
    second: bool


@dataclass(frozen=True)
class Value:
    share: Share
    pairs: tuple[Pair, ...]
    choice: Literal["a", "b"] | None
    later: tuple[tuple[str, Finite], ...] = field(default=(), metadata={LATER: True})


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (float, 1, 1.0),
        (float, "-Infinity", -math.inf),
        (int, LARGEST_COUNT, LARGEST_COUNT),
        (float | None, None, None),
        (Pair, [3, True], Pair(3, True)),
        (str, "caf\xe9 \ud800", "caf\xe9 ?"),
        (tuple[int, ...], [], ()),
        (Value, {"share": 1, "pairs": [[1, False]], "choice": None, "more": 1}, Value(1.0, (Pair(1, False),), None)),
    ],
)  # fmt: skip
def test_what_has_its_type_is_read(kind, given, value):
    assert reader(kind)(given) == value


LONG = "a" * (LONGEST_TEXT + 1)


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (float, True, " is True and must be a number"),
        (float, None, " is None and must be a number"),
        (float, math.inf, " is inf and must be a number"),
        (float, math.nan, " is nan and must be a number"),
        (float, 10**400, " is a number of more than 63 bits and must be a number"),
        (float, "nan", " is 'nan' and must be a number"),
        (Finite, "NaN", " is 'NaN' and must be from -1e"),
        (Finite, 1e200, r" is 1e\+200 and must be from -1e"),
        (Share, 1.1, " is 1.1 and must be from 0 to 1"),
        (int, 1.0, " is 1.0 and must be a whole number"),
        (int, -1, " is -1 and must be a whole number"),
        (int, 2**63, " is a number of more than 63 bits and must be a whole number"),
        (int, True, " is True and must be a whole number"),
        (bool, 1, " is 1 and must be true or false"),
        (str, 1, " is 1 and must be a text"),
        (str, LONG, r" is 'aaa.*\.\.\. and must be a text of at most"),
        (tuple[int, ...], "123", " is '123' and must be a list"),
        (tuple[int, ...], [0] * (LONGEST_LIST + 1), " is a list of 100001 and must be a list of at most"),
        (Pair, [1], " is a list of 1 and must be a list of 2"),
        (Pair, {"first": 1}, " is an object of 1 and must be a list"),
        (Literal["a", "b"], ["a"], " is a list of 1 and must be one of a, b"),
        (Value, [], " is a list of 0 and must be an object"),
        (Value, {"share": 1, "pairs": []}, "choice is missing"),
        (Value, {"share": 1, "pairs": [[1, 2]], "choice": "a"}, r"^pairs\[0\]\[1\] is 2 and must be true or"),
        (Value, {"share": 0, "pairs": [], "choice": "a", "later": [["x", "NaN"]]}, r"^later\[0\]\[1\] is 'NaN'"),
    ],
)  # fmt: skip
def test_what_has_not_is_refused_with_its_place(kind, given, told):
    with pytest.raises(ValueError, match=told):
        reader(kind)(given)


def test_types_without_a_form_in_json_are_none_of_ours():
    with pytest.raises(TypeError, match=r"set.* are not read back"):
        reader(set[int])
