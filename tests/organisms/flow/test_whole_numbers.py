import pytest
import torch

from organisms.flow.whole_numbers import safe_tensor_to_int


@pytest.mark.parametrize(
    "value", [3, 3.0, torch.tensor(3), torch.tensor([[3.0]]), torch.tensor([3], dtype=torch.int8)]
)
def test_a_whole_number_is_an_int(value):
    assert (safe_tensor_to_int(value), type(safe_tensor_to_int(value))) == (3, int)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor([1, 2]), r"value must be a tensor of one element, but has the shape \[2\]"),
        (torch.zeros(0), r"value must be a tensor of one element, but has the shape \[0\]"),
        (torch.tensor(1.5), r"value must be a whole number, but is 1\.5"),
        (float("nan"), "value must be a whole number, but is nan"),
        (float("inf"), "value must be a whole number, but is inf"),
        (torch.tensor(True), "value must be a whole number, but is True"),
        ("3", "value must be a whole number, but is '3'"),
        (None, "value must be a whole number, but is None"),
    ],
)
def test_what_is_none_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        safe_tensor_to_int(value)
