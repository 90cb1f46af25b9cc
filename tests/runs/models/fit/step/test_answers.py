import pytest
import torch

from runs.errors import RunError
from runs.models.fit.step.answers import blamed, seeded

CPU = torch.device("cpu")


def test_both_generators_are_of_the_step_and_the_global_one_is_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with seeded(1, 2, "a", CPU) as generator:
        first = torch.rand(3), torch.rand(3, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1, 2, "a", CPU) as generator:
        torch.rand(3, generator=generator)
        assert torch.equal(torch.rand(3), first[0])
    with seeded(1, 3, "a", CPU) as generator:
        assert not torch.equal(torch.rand(3, generator=generator), first[1])


def raising(error, is_own):
    with blamed("mine", is_own, 7):
        raise error


@pytest.mark.parametrize(
    ("error", "is_own", "told"),
    [
        (ValueError("x must\n be"), False, "in step 7 the model mine refused its input: x must be"),
        (KeyError("k"), True, "in step 7 the model mine raised KeyError: 'k'"),
        (SystemExit(3), True, "in step 7 the model mine raised SystemExit: 3"),
        (
            torch.OutOfMemoryError("CUDA"),
            False,
            r"too little memory on the device for step 7; lower data\.batch_size",
        ),
        (RunError("said already"), True, "^said already$"),
    ],
)
def test_what_a_model_raises_is_told(error, is_own, told):
    with pytest.raises(RunError, match=told):
        raising(error, is_own)


def test_an_error_of_ours_is_not_hidden():
    with pytest.raises(KeyError):
        raising(KeyError("k"), False)
