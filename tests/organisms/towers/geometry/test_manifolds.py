import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.geometry.manifolds import GEOMETRIES, hyperbolic_distance, into_ball, spherical_distance

REAL = st.floats(-3, 3, width=16)
VECTORS = st.lists(REAL, min_size=3, max_size=3).filter(any)  # not all zero, which is no direction
EVERY = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


def vector(*numbers, dtype=torch.float64):
    return torch.tensor(numbers, dtype=dtype)


def moebius(a, x):
    """The isometry of the ball that takes the origin to a."""
    dot, a2, x2 = a @ x, a @ a, x @ x
    return ((1 + 2 * dot + x2) * a + (1 - a2) * x) / (1 + 2 * dot + a2 * x2)


@given(VECTORS, VECTORS)
def test_distances_are_their_closed_forms(a, b):
    a, b = vector(*a), vector(*b)
    assert float(GEOMETRIES["euclidean"].distance(a, b)) == pytest.approx(math.dist(a, b), abs=1e-12)
    u, v = (GEOMETRIES["spherical"].point(each) for each in (a, b))
    assert float(spherical_distance(u, v)) == pytest.approx(
        math.acos(max(-1, min(1, float(u @ v)))), abs=1e-7
    )
    x, y = into_ball(a), into_ball(b)
    inside = 1 + 2 * float((x - y) @ (x - y)) / ((1 - float(x @ x)) * (1 - float(y @ y)))
    assert float(hyperbolic_distance(x, y)) == pytest.approx(math.acosh(inside), abs=1e-6)


@EVERY
@given(VECTORS, VECTORS, VECTORS)
def test_distances_are_a_metric_and_similarity_falls_with_it(geometry, a, b, c):
    a, b, c = (geometry.point(vector(*each)) for each in (a, b, c))
    near, far, across = geometry.distance(a, b), geometry.distance(a, c), geometry.distance(b, c)
    assert near >= 0
    torch.testing.assert_close(geometry.distance(b, a), near)
    assert far <= near + across + 1e-9
    torch.testing.assert_close(geometry.distance(a, a), vector(0)[0])
    torch.testing.assert_close(geometry.similarity(a, a), vector(1)[0])
    if near < far - 1e-6:
        assert geometry.similarity(a, b) > geometry.similarity(a, c)


@pytest.mark.parametrize("angle", [0, 1e-7, 1e-3, 1, math.pi / 2, 3, math.pi - 1e-3, math.pi - 1e-6, math.pi])
def test_angles_are_exact_up_to_antipodes_even_in_float32(angle):
    u, v = (
        vector(1, 0, dtype=torch.float32),
        vector(math.cos(angle), math.sin(angle), dtype=torch.float32),
    )
    assert float(spherical_distance(u, v)) == pytest.approx(angle, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("radius", [0, 1e-9, 0.1, 0.9, 0.9999])
def test_in_the_ball_a_way_through_the_centre_has_its_closed_form(radius):
    x, centre = vector(0, radius), vector(0, 0)
    expected = 2 * math.atanh(radius)
    assert float(hyperbolic_distance(x, centre)) == pytest.approx(expected, rel=1e-10)
    assert float(hyperbolic_distance(x, -x)) == pytest.approx(2 * expected, rel=1e-10)
    geometry = GEOMETRIES["hyperbolic"]
    assert float(geometry.similarity(x, centre)) == pytest.approx((1 - radius) / (1 + radius), rel=1e-10)


@given(VECTORS, VECTORS, VECTORS)
def test_the_balls_isometries_keep_distances(a, x, y):
    a, x, y = (into_ball(vector(*each)) for each in (a, x, y))
    expected = hyperbolic_distance(x, y)
    torch.testing.assert_close(
        hyperbolic_distance(moebius(a, x), moebius(a, y)), expected, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(("dtype", "rim"), [(torch.float32, 14.6), (torch.float64, 34.7)])
def test_near_the_rim_distances_are_large_and_finite(dtype, rim):
    far = into_ball(vector(1e6, 0, 0, dtype=dtype))
    assert float(hyperbolic_distance(far, torch.zeros_like(far))) == pytest.approx(rim, abs=0.3)
    assert bool(hyperbolic_distance(far, -far).isfinite())
    assert float(hyperbolic_distance(far, far)) == 0


@pytest.mark.parametrize("point", [(1.0, 0.0), (0.0, -2.0), (math.nan, 0.0)])
def test_on_the_rim_and_outside_there_is_no_distance(point):
    with pytest.raises(
        ValueError, match=r"points of the Poincare ball must be shorter than 1, but one has length"
    ):
        hyperbolic_distance(vector(0, 0), vector(*point))


@EVERY
@given(VECTORS)
def test_coordinates_lead_back_to_their_point(geometry, coordinates):
    point = geometry.point(vector(*coordinates))
    torch.testing.assert_close(geometry.point(geometry.coordinates(point)), point)


def test_length_of_coordinates_is_the_distance_from_the_centre():
    v = vector(0.3, -2.0, 1.0)
    torch.testing.assert_close(hyperbolic_distance(into_ball(v), torch.zeros_like(v)), v.norm())


@EVERY
def test_gradients_are_right_and_finite_where_points_coincide_or_are_opposite(geometry):
    a, b = (vector(*each).requires_grad_() for each in ((0.3, -1, 2), (1, 0.5, -0.2)))
    for read in (geometry.distance, geometry.similarity):
        assert torch.autograd.gradcheck(
            lambda a, b, read=read: read(geometry.point(a), geometry.point(b)), (a, b)
        )
    for other in (a.detach(), -a.detach()):
        (gradient,) = torch.autograd.grad(geometry.distance(geometry.point(a), geometry.point(other)), a)
        assert bool(gradient.isfinite().all())


def test_at_the_centre_of_the_ball_the_map_is_half_the_identity():
    at = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.functional.jacobian(into_ball, at), torch.eye(3).double() / 2)
    back = GEOMETRIES["hyperbolic"].coordinates
    torch.testing.assert_close(torch.autograd.functional.jacobian(back, at), torch.eye(3).double() * 2)
