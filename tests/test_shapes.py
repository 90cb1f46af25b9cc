"""That the check of shapes is on, and what it looks at."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from jaxtyping import Float, TypeCheckError

from kernels.attention.reference import attention_weights
from tests.fixtures.shapes import checked, decorated, has_shape

Matrix = Float[np.ndarray, "n 5"]


def test_a_wrong_shape_is_an_error_in_the_packages():
    q, k = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 5)
    mask = torch.ones(2, 3, 3, dtype=torch.bool)
    with pytest.raises(TypeCheckError, match="B H S R"):
        attention_weights(q, k, torch.ones(2), mask)


def test_sizes_of_one_name_are_equal_within_a_call_of_arguments_and_result_and_in_no_other():
    @checked
    def first(matrix: Matrix, rows: int) -> Float[np.ndarray, " n"]:
        return matrix[:rows, 0]

    for rows in (3, 4):
        assert first(np.ones((rows, 5)), rows).shape == (rows,)
    with pytest.raises(TypeCheckError, match="n"):
        first(np.ones((4, 5)), 3)
    with pytest.raises(TypeCheckError, match="n 5"):
        first(np.ones((4, 6)), rows=4)


def test_a_dataclass_checks_its_fields_and_another_class_is_left_alone():
    @dataclass(frozen=True, slots=True)
    class Pair:
        one: Matrix
        other: Float[np.ndarray, " n"]

    made, before = decorated(Pair), object.__init__
    assert made(np.ones((2, 5)), np.ones(2)).other.shape == (2,)
    with pytest.raises(TypeCheckError, match="n"):
        made(np.ones((2, 5)), np.ones(3))
    assert decorated(type("Empty", (), {})).__init__ is before


@pytest.mark.parametrize("hint", [Matrix, tuple[int, Matrix], Matrix | None, Callable[[Matrix], int]])
def test_shapes_are_found_at_any_depth(hint):
    assert has_shape(hint)


@pytest.mark.parametrize(
    "hint", [int, "Later", np.ndarray, list[str], Callable[..., int], Callable[[int], str]]
)
def test_other_annotations_are_not_checked(hint):
    def function(argument):
        return argument

    function.__annotations__["argument"] = hint
    assert checked(function) is function
