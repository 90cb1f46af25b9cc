"""Each blend against its equation, and what all of them keep to."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import geometric_slerp

from organisms.towers.walkers.blends import BLENDS, gilgamesh, lerp, shiva, slerp, slip, zeus

EVERY = pytest.mark.parametrize("blend", BLENDS.values(), ids=BLENDS)
BETWEEN = pytest.mark.parametrize("blend", [lerp, zeus, gilgamesh], ids=lambda each: each.__name__)
REAL = st.floats(-9, 9, width=16)
VECTORS = st.lists(REAL, min_size=3, max_size=3)
SHARES = st.floats(0, 1, width=16)


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def along(*shares):
    return torch.tensor(shares, dtype=torch.float64).view(-1, 1)


@EVERY
@given(VECTORS, VECTORS)
def test_it_begins_at_a_and_ends_at_b(blend, a, b):
    a, b = vector(*a), vector(*b)
    for share, end in ((0.0, a), (1.0, b)):
        torch.testing.assert_close(blend(a, b, along(share))[0], end, rtol=1e-7, atol=1e-7)


@EVERY
@given(VECTORS, VECTORS, SHARES)
def test_it_is_the_same_way_backwards(blend, a, b, share):
    a, b = vector(*a), vector(*b)
    there, back = blend(a, b, along(share)), blend(b, a, along(1 - share))
    torch.testing.assert_close(there, back, rtol=1e-7, atol=1e-7)


@EVERY
@given(VECTORS, SHARES)
def test_between_equal_opinions_there_is_nothing_else(blend, a, share):
    a = vector(*a)
    if not any(a) and blend is shiva:
        return  # zero has no direction to agree in, and stays zero all the same
    torch.testing.assert_close(blend(a, a, along(share))[0], a, rtol=1e-7, atol=1e-7)


@BETWEEN
@given(VECTORS, VECTORS, SHARES)
def test_every_number_lies_between_those_of_a_and_b(blend, a, b, share):
    a, b = vector(*a), vector(*b)
    found = blend(a, b, along(share))[0]
    assert bool((found <= torch.maximum(a, b) + 1e-9).all())
    assert bool((found >= torch.minimum(a, b) - 1e-9).all())


@EVERY
@given(st.permutations(range(4)), SHARES)
def test_the_order_of_features_is_no_matter(blend, order, share):
    a, b, order = vector(1, -2, 0.5, 3), vector(-2, 1, 4, 0), list(order)
    torch.testing.assert_close(blend(a[order], b[order], along(share)), blend(a, b, along(share))[:, order])


@EVERY
def test_gradients_are_right(blend):
    a, b, t = (
        each.requires_grad_() for each in (vector(1, -2, 0.5), vector(-1.5, 1, 4), along(0.1, 0.5, 0.8))
    )
    assert torch.autograd.gradcheck(blend, (a, b, t))


@EVERY
@pytest.mark.parametrize(
    ("a", "b"),
    [((0, 0), (0, 0)), ((1, 2), (1, 2)), ((1, 2), (-1, -2)), ((0, 0), (1, 2)), ((80, 0), (0, -1e-9))],
)
def test_values_and_gradients_are_finite_where_directions_are_not(blend, a, b):
    for dtype in (torch.float64, torch.float32):
        ends = [torch.tensor(each, dtype=dtype, requires_grad=True) for each in (a, b)]
        t = torch.tensor([[0.0], [0.25], [1.0]], dtype=dtype, requires_grad=True)
        found = blend(*ends, t)
        found.sum().backward()
        assert bool(found.isfinite().all())
        assert all(bool(each.grad.isfinite().all()) for each in (*ends, t))


def test_slerp_of_unit_vectors_is_scipys():
    a, b = (np.array(each) / np.linalg.norm(each) for each in ([1.0, 2, -1], [0.5, -1, 3]))
    shares = np.linspace(0, 1, 7)
    expected = geometric_slerp(a, b, shares)
    found = slerp(torch.from_numpy(a), torch.from_numpy(b), along(*shares))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(VECTORS, VECTORS, SHARES)
def test_lengths_on_the_arc_grow_evenly(a, b, share):
    a, b = vector(*a), vector(*b)
    cosine = float(a @ b) / (float(a.norm() * b.norm()) or 1)
    if cosine > -0.999:
        expected = (1 - share) * a.norm() + share * b.norm()
        torch.testing.assert_close(slerp(a, b, along(share)).norm(), expected, rtol=1e-6, atol=1e-6)


def test_opposite_opinions_have_no_arc_but_a_chord():
    a = vector(1, 2, 3)
    torch.testing.assert_close(slerp(a, -2 * a, along(0.3)), lerp(a, -2 * a, along(0.3)))


@given(VECTORS, VECTORS)
def test_slip_is_on_the_arc_halfway_and_leaves_along_the_chord(a, b):
    a, b = vector(*a), vector(*b)
    torch.testing.assert_close(slip(a, b, along(0.5)), slerp(a, b, along(0.5)), rtol=1e-7, atol=1e-7)
    quarter = (lerp(a, b, along(0.25)) + slerp(a, b, along(0.25))) / 2
    torch.testing.assert_close(slip(a, b, along(0.25)), quarter, rtol=1e-7, atol=1e-7)


def test_shiva_destroys_what_disagrees():
    a, across = vector(3, 0), vector(0, 1)
    assert not shiva(a, -a / 2, along(0.5)).abs().max() > 1e-9  # opposite: nothing is left halfway
    torch.testing.assert_close(shiva(a, 5 * a, along(0.3)), lerp(a, 5 * a, along(0.3)))
    torch.testing.assert_close(shiva(a, across, along(0.5)), lerp(a, across, along(0.5)) / 2)
    shares = along(*np.linspace(0, 1, 11))
    assert bool((shiva(a, across, shares).norm(dim=-1) <= lerp(a, across, shares).norm(dim=-1) + 1e-12).all())


def test_zeus_multiplies_the_odds_of_each_number():
    a, b, share = vector(1, -2, 0), vector(-3, 2, 50), 0.4
    found = zeus(a, b, along(share))[0]
    for x, y, z in zip(a.tolist(), b.tolist(), found.tolist(), strict=True):
        odds = math.exp(min(10, abs(y) - abs(x))) * share / (1 - share)
        assert z == pytest.approx((x + odds * y) / (1 + odds))


def test_gilgamesh_goes_by_way_of_the_larger_number():
    a, b, companion = vector(1, -4, 2, 2), vector(3, 1, -2, 2), vector(3, -4, 0, 2)
    for share in (0.0, 0.3, 0.5, 1.0):
        expected = (1 - share) ** 2 * a + 2 * share * (1 - share) * companion + share**2 * b
        torch.testing.assert_close(gilgamesh(a, b, along(share))[0], expected)
