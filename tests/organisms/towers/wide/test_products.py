"""N affine maps: their gradients of any order, and where they lie."""

import pytest
import torch

from organisms.towers import WideRouter
from organisms.towers.wide.operations.primitives import wide_linear
from organisms.towers.wide.operations.products import Products, products
from tests.organisms.towers.blocks import SimpleTower
from tests.organisms.towers.wide.shapes import inputs


def drawn(*shape, seed=0):
    return inputs(shape, seed=seed).requires_grad_()


@pytest.mark.parametrize("with_bias", [True, False])
def test_gradients_of_first_and_second_order(with_bias):
    x, weight = drawn(2, 3, 4), drawn(2, 5, 4, seed=1)
    given = (x, weight, drawn(2, 5, seed=2) if with_bias else None)
    assert torch.equal(Products.apply(*given), products(*given))
    assert torch.autograd.gradcheck(Products.apply, given)
    assert torch.autograd.gradgradcheck(Products.apply, given)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4), (2, 1, 3, 4)])
def test_a_wide_linear_map_is_each_towers(shape, batched):
    x = drawn(*((3, *shape) if batched else shape))
    weight, bias = drawn(3, 5, 4, seed=1), drawn(3, 5, seed=2)
    found = wide_linear(x, weight, bias, batched)
    each = x if batched else x.expand(3, *shape)
    wanted = torch.stack([torch.nn.functional.linear(*own) for own in zip(each, weight, bias, strict=True)])
    torch.testing.assert_close(found, wanted)
    change = inputs(wanted.shape, seed=3)
    leaves = (x, weight, bias)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, change), torch.autograd.grad(wanted, leaves, change), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_gradients_of_towers_are_slices_of_one_and_none_is_copied():
    router, x = WideRouter("wide", execution_strategy="wide_compiler"), torch.ones(3, 4)
    for at in range(3):
        router.attach(f"tower_{at}", SimpleTower(f"tower_{at}", 4))
    for _ in range(2):
        router.zero_grad()
        sum(each.square().sum() for each in router.wide_forward(x).values()).backward()
    for name, _ in router["tower_0"].named_parameters():
        grads = [tower.get_parameter(name).grad for tower in router.towers.values()]
        assert len({each.untyped_storage().data_ptr() for each in grads}) == 1, name
        assert all(each.is_contiguous() for each in grads)
