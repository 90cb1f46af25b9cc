"""That the check of shapes is on, and what it looks at."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from jaxtyping import Float, TypeCheckError

from kernels.attention.reference import attention_weights
from tests.fixtures.shapes import checked, has_shape

Matrix = Float[np.ndarray, "n 5"]


def test_a_wrong_shape_is_an_error_in_the_packages():
    q, k = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 5)
    mask = torch.ones(2, 3, 3, dtype=torch.bool)
    with pytest.raises(TypeCheckError, match="B H S R"):
        attention_weights(q, k, torch.ones(2), mask)


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
