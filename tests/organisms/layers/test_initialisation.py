import math

import pytest
import torch

from organisms.layers.initialisation import INITIALISATIONS, drawn, scaled_init_

FANS = (300, 500)
SCALED = ("scaled_xavier", "scaled_kaiming")
STD = {
    "xavier_uniform": math.sqrt(2 / 800),
    "xavier_normal": math.sqrt(2 / 800),
    "scaled_xavier": math.sqrt(2 / 800),
    "scaled_kaiming": math.sqrt(2 / 300),
}


def of(how, writes_of=None, seed=0):
    return drawn((2, *FANS), FANS, how, torch.Generator().manual_seed(seed), writes_of=writes_of)


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_entries_have_the_published_deviation(how):
    found = of(how)
    assert found.mean().abs() < 5e-4
    assert float(found.std()) == pytest.approx(STD[how], rel=0.01)


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_only_the_scaled_ones_shrink_what_writes_into_a_deep_stream(how):
    ratio = float(of(how).std() / of(how, writes_of=8).std())
    assert ratio == pytest.approx(4.0 if how in SCALED else 1.0)


def test_a_uniform_one_keeps_its_bounds_and_a_normal_one_has_none():
    limit = math.sqrt(6 / 800)
    assert 0.99 * limit < float(of("xavier_uniform").abs().max()) <= limit
    assert float(of("xavier_normal").abs().max()) > 2 * limit


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_the_generator_alone_decides(how):
    assert torch.equal(of(how), of(how))
    assert not torch.equal(of(how), of(how, seed=1))


@pytest.mark.parametrize("how", INITIALISATIONS)
@pytest.mark.parametrize("n_layers", [None, 1, 8])
def test_a_weight_is_initialised_in_place_as_one_that_is_drawn(how, n_layers):
    m, n = FANS
    weight = torch.nn.Linear(m, n).weight
    found = scaled_init_(weight, n_layers, how, generator=torch.Generator().manual_seed(3))
    assert found is weight
    assert weight.is_leaf
    assert weight.requires_grad
    wanted = drawn((n, m), (m, n), how, torch.Generator().manual_seed(3), writes_of=n_layers)
    assert torch.equal(weight, wanted)


def test_a_stack_held_the_other_way_is_initialised_by_its_transpose():
    stack = torch.zeros(3, *FANS)
    scaled_init_(stack.mT, None, "scaled_kaiming", generator=torch.Generator().manual_seed(0))
    assert float(stack.std()) == pytest.approx(STD["scaled_kaiming"], rel=0.01)


def test_what_is_no_matrix_or_no_initialisation_is_refused():
    with pytest.raises(ValueError, match=r"tensor must have the axes .* but its shape is \[4\]"):
        scaled_init_(torch.zeros(4), generator=torch.Generator())
    with pytest.raises(ValueError, match=r"init_type is 'xavier_norm', .* did you mean 'xavier_normal'"):
        scaled_init_(torch.zeros(4, 4), init_type="xavier_norm", generator=torch.Generator())
