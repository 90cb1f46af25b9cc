import math

import pytest
import torch

from organisms.layers.checks import check_construction, check_tokens, required_generator, zeroed


def test_a_generator_is_asked_for_where_numbers_are_drawn():
    given = torch.Generator()
    assert required_generator(given, "dropout", torch.device("cpu")) is given
    assert required_generator(given, "noise_type") is given  # drawn where the generator is, and moved
    with pytest.raises(ValueError, match=r"generator is missing, and dropout needs .* or switch dropout off"):
        required_generator(None, "dropout")
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator on cpu, but is a int"):
        required_generator(3, "dropout", torch.device("cpu"))
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator on meta, but is one on cpu"):
        required_generator(given, "dropout", torch.device("meta"))


def test_tokens_are_on_the_device_of_the_parameters_and_so_is_their_mask():
    x, mask, weight = torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.ones(4)
    check_tokens("x", x, mask, 4, "d_model", weight)
    with pytest.raises(
        ValueError, match=r"x must be \[B, S, 4\], .* but is torch.float32 \[2, 3, 4\] on meta"
    ):
        check_tokens("x", x.to("meta"), None, 4, "d_model", weight)
    with pytest.raises(ValueError, match=r"mask must be torch.bool \[2, 3\] on cpu, .* \[2, 3\] on meta"):
        check_tokens("x", x, mask.to("meta"), 4, "d_model", weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_under_autocast_tokens_may_have_any_floating_dtype(dtype):
    x, weight = torch.ones(2, 3, 4, dtype=dtype), torch.ones(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        check_tokens("x", x, None, 4, "d_model", weight)
        with pytest.raises(ValueError, match=r"but is torch.int64 \[2, 3, 4\]"):
            check_tokens("x", x.long(), None, 4, "d_model", weight)


def test_parameters_are_drawn_by_a_generator_for_a_number_of_layers():
    check_construction({}, dict, torch.Generator(), 2)
    with pytest.raises(ValueError, match=r"n_layers must be a whole number from 1 on, but is 1\.5"):
        check_construction({}, dict, torch.Generator(), 1.5)


def test_padding_becomes_zero_whatever_it_holds():
    x, mask = torch.tensor([[[1.0], [math.nan]]]), torch.tensor([[True, False]])
    assert zeroed(x, mask).tolist() == [[[1.0], [0.0]]]
    assert zeroed(x, None) is x
