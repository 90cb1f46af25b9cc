"""What every component of configured towers keeps to."""

import pytest
import torch

from organisms.towers import BaseTower, VMapTowerGroup, WidePrimitiveTowerGroup
from tests.organisms.towers.configured.cases import COMPONENTS, drawn
from tests.organisms.towers.fusion.fusions import moved

EVERY = pytest.mark.parametrize("name", COMPONENTS)
IMAGES = [name for name, (_, shape) in COMPONENTS.items() if len(shape) == 4 and name != "image"]


def made(name, **seed):
    make, shape = COMPONENTS[name]
    return moved(make(**seed).double()), drawn(*shape)


@EVERY
def test_gradients_to_inputs_and_parameters_are_right_and_none_is_zero(name):
    component, x = made(name)
    names, values = zip(*component.named_parameters(), strict=True)

    def computed(x, *tensors):
        return torch.func.functional_call(component, dict(zip(names, tensors, strict=True)), x)

    leaves = [each.detach().requires_grad_() for each in (x, *values)]
    assert torch.autograd.gradcheck(computed, leaves)
    grads = torch.autograd.grad(computed(*leaves).square().sum(), leaves)
    assert all(each.any() for each in grads)


@EVERY
def test_numbers_belong_to_name_and_seed_and_to_no_generator(name):
    make, _ = COMPONENTS[name]
    state = torch.get_rng_state()
    first, again, other, unseeded = (
        list(make(**seed).parameters()) for seed in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {})
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for another in (other, unseeded):
        assert not all(torch.equal(a, b) for a, b in zip(first, another, strict=True))


@EVERY
def test_examples_do_not_see_one_another(name):
    component, x = made(name)
    torch.testing.assert_close(component(x)[1:], component(x[1:]))


@EVERY
@pytest.mark.parametrize("group", [VMapTowerGroup, WidePrimitiveTowerGroup])
def test_towers_of_it_are_computed_together(name, group):
    towers, x = [], made(name)[1]
    for at in range(2):
        tower = BaseTower(f"tower_{at}")
        tower.append(moved(COMPONENTS[name][0]().double(), at))
        towers.append(tower)
    found = group(towers)(x)
    for tower in towers:
        torch.testing.assert_close(found[tower.name], tower(x))


@pytest.mark.parametrize("name", IMAGES)
def test_maps_may_have_any_size(name):
    component = made(name)[0]
    for size in ((1, 1), (1, 7), (6, 2)):
        found = component(drawn(2, 4, *size))
        assert found.shape == ((2, 3) if name.startswith("pool") else (2, 4, *size))


@pytest.mark.parametrize("name", ["gelu", "attention", "conv", "multiscale", "mixer"])
def test_dropout_leaves_out_what_a_stage_adds(name):
    component, x = made(name)
    component.drop.p = 1.0
    torch.testing.assert_close(component(x), x)
    assert not torch.allclose(component.eval()(x), x)
