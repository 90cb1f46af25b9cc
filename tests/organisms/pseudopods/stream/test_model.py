import copy
import gc

import pytest
import torch

from organisms.pseudopods.stream.model import SlimeModel
from organisms.pseudopods.tubes import TubeRules
from tests.organisms.layers.definitions import drawn

F, D, N = 5, 8, 3
SIZES = {"head_dim": 4, "num_layers": 2, "block": 3, "tubes": TubeRules(0.8, 4), "dtype": torch.float64}


def model(**options):
    return SlimeModel(F, D, N, **SIZES | options)


def test_a_state_that_is_passed_on_carries_the_stream_on():
    slime, x = model(), drawn(2, 14, F)
    whole = slime(x)
    first, state = slime(x[:, :8], return_state=True)
    second, _ = slime(x[:, 8:], state, return_state=True)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(slime(x[:, 8:], state), second)
    assert not torch.allclose(slime(x[:, 8:]), second)  # without a state it begins anew


def test_a_stateful_model_goes_on_until_it_is_reset():
    slime, x = model(stateful=True), drawn(2, 14, F)
    whole = model()(x)
    for _ in range(2):
        torch.testing.assert_close(torch.cat([slime(chunk) for chunk in x.split(5, 1)], 1), whole)
        slime.reset()
    slime(x)
    other = copy.deepcopy(slime)
    assert torch.equal(other(x), slime(x))
    assert not torch.allclose(slime(x), whole)


def test_a_stateful_model_refuses_other_sequences_until_it_is_reset():
    slime = model(stateful=True)
    slime(drawn(2, 4, F))
    with pytest.raises(ValueError, match=r"^state is of 2 sequences, but there are 3 now"):
        slime(drawn(3, 4, F))
    slime.reset()
    assert slime(drawn(3, 4, F)).shape == (3, 4, N)


def alive() -> tuple[int, int]:
    """Tensors that are there, and the numbers that they hold."""
    gc.collect()
    found = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return len(found), sum(each.numel() for each in found)


@pytest.mark.long
def test_no_tensor_stays_behind_however_long_the_stream():
    slime, x = model(stateful=True), drawn(2, 5, F)
    optimizer, counts = torch.optim.Adam(slime.parameters()), []
    for chunk in range(1, 61):
        slime(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if chunk % 15 == 0:  # whole blocks of three tokens, so that as many are under way
            counts.append(alive())
    assert counts[1:] == counts[:-1]


def test_it_trains():
    """Outputs follow the running mean of the first number, which needs the memory."""
    slime, x = model(), drawn(8, 12, F)
    wanted = x[..., :1].cumsum(1) / torch.arange(1, 13)[:, None]
    optimizer, losses = torch.optim.AdamW(slime.parameters(), lr=0.02), []
    for _ in range(40):
        loss = (slime(x)[..., :1] - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_parameters_are_drawn_from_the_seed_and_from_nothing_else():
    state = torch.get_rng_state()
    one, two, other = (model(seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, two.get_parameter(name))
    assert not torch.equal(one.stem.weight, other.stem.weight)
    assert not torch.equal(one.organism.layers[0].pseudopods.query, other.organism.layers[0].pseudopods.query)


def test_heads_are_as_wide_as_asked_and_no_wider_than_the_stream():
    assert model(head_dim=4, slots=5).stats()["living"] == [2, 2]
    assert model(head_dim=64).organism.layers[0].pseudopods.query.shape == (1, D, D)
    assert model().stats()["parameters"] == sum(each.numel() for each in model().parameters())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input_dim": 0}, "^input_dim must be a whole number from 1 on, but is 0$"),
        ({"latent_dim": 0}, "^latent_dim must be a whole number from 1 on, but is 0$"),
        ({"output_dim": 0}, "^output_dim must be a whole number from 1 on, but is 0$"),
        ({"head_dim": 0}, "^head_dim must be a whole number from 1 on, but is 0$"),
        ({"seed": 0.5}, r"^seed must be a whole number from 0 on, but is 0\.5$"),
    ],
)
def test_models_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        SlimeModel(**{"input_dim": F, "latent_dim": D, "output_dim": N} | changed)


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match=r"^x must be \[B, S, 5\], as input_dim says, and torch.float64"):
        model()(drawn(2, 3, F + 1))
    with pytest.raises(ValueError, match=r"^state must be a FlowState"):
        model()(drawn(2, 3, F), 0)


class Doubled:
    """Products of a user's own."""

    def product(self, x, weight, bias=None):
        found = 2 * (x @ weight.mT)
        return found if bias is None else found + bias


def test_its_kernel_is_that_of_its_organism_and_maps_what_comes_in_and_goes_out():
    slime, x = model(kernel="reference"), drawn(2, 7, F)
    torch.testing.assert_close(slime(x), model()(x))
    own, seen = model(kernel=Doubled()), []
    own.organism.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    assert not torch.allclose(own(x), model()(x))
    torch.testing.assert_close(seen[0], 2 * (x @ own.stem.weight.mT) + own.stem.bias)
