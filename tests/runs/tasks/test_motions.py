import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from runs.tasks.motions import eccentric_anomaly, lorenz, orbit, rotations, runge_kutta, spline, waves

ECCENTRICITIES = st.floats(0, 0.999)


def test_waves_are_sines_of_cycles():
    frequency, phase = np.array([[0.1, 0.25], [0.0, 1.5]]), np.array([[0.0, 0.5], [0.25, 0.125]])
    times = np.array([0.0, 0.5, 3.0])
    found = waves(frequency, phase, times)
    assert found.shape == (2, 3, 2)
    for n, t, k in np.ndindex(found.shape):
        cycles = frequency[n, k] * times[t] + phase[n, k]
        assert found[n, t, k] == pytest.approx(math.sin(2 * math.pi * cycles), abs=1e-12)


class TestKepler:
    @given(st.floats(-100, 100), ECCENTRICITIES)
    def test_the_equation_is_solved(self, mean, eccentricity):
        found = eccentric_anomaly(np.array(mean), np.array(eccentricity))
        assert abs(found - eccentricity * math.sin(found) - mean) <= 1e-12

    def test_a_circle_needs_no_solving(self):
        mean = np.linspace(-9, 9, 50)
        np.testing.assert_array_equal(eccentric_anomaly(mean, np.zeros(50)), mean)

    @pytest.mark.parametrize("eccentricity", [-0.1, 1.0, math.nan])
    def test_what_is_no_ellipse_is_refused(self, eccentricity):
        with pytest.raises(ValueError, match=r"eccentricities must be in \[0, 1\); they reach from"):
            eccentric_anomaly(np.zeros(2), np.array([0.5, eccentricity]))

    @given(ECCENTRICITIES, st.floats(0.1, 10))
    def test_the_orbit_is_a_conic_with_its_focus_in_the_origin(self, eccentricity, axis):
        x, y, z = orbit(np.linspace(0, 2 * math.pi, 37), np.array(eccentricity), np.array(axis)).T
        angle = np.arctan2(y, x)
        radius = axis * (1 - eccentricity**2) / (1 + eccentricity * np.cos(angle))
        np.testing.assert_allclose(np.hypot(x, y), radius, rtol=1e-9)
        assert not z.any()
        assert x[0] == pytest.approx(axis * (1 - eccentricity))  # it begins at the perihelion
        assert (y[1:18] > 0).all()  # and turns to the left

    def test_equal_areas_are_swept_in_equal_times(self):
        eccentricity, axis, steps = 0.6, 0.8, 20_000
        points = orbit(np.linspace(0, 2 * math.pi, steps + 1), np.array(eccentricity), np.array(axis))
        areas = np.cross(points[:-1], points[1:])[:, 2] / 2
        whole = math.pi * axis**2 * math.sqrt(1 - eccentricity**2)
        np.testing.assert_allclose(areas, whole / steps, rtol=1e-6)


class TestLorenz:
    def test_its_points_of_rest(self):
        far = math.sqrt(8 / 3 * 27)
        rest = np.array([[0, 0, 0], [far, far, 27], [-far, -far, 27]])
        np.testing.assert_allclose(lorenz(rest), 0, atol=1e-12)

    def test_it_is_what_scipy_integrates(self):
        start = np.array([[1.0, 2.0, 20.0], [-7.0, 3.0, 30.0]])
        exact = [
            solve_ivp(
                lambda t, s: [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 * s[2] / 3],
                (0, 1),
                state,
                method="DOP853",
                rtol=1e-12,
                atol=1e-12,
            ).y[:, -1]
            for state in start
        ]
        for count, bound in ((100, 1e-3), (400, 1e-6)):
            np.testing.assert_allclose(runge_kutta(lorenz, start, 1 / count, count), exact, atol=bound)

    def test_the_integrator_is_of_order_4(self):
        errors = [abs(runge_kutta(lambda s: s, np.ones(1), 1 / n, n)[0] - math.e) for n in (20, 40)]
        assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)

    def test_no_step_goes_nowhere(self):
        np.testing.assert_array_equal(runge_kutta(lorenz, np.ones(3), 0.1, 0), np.ones(3))


class TestSpline:
    POINTS = np.random.default_rng(4).uniform(-1, 1, (7, 3))

    def test_it_passes_its_points(self):
        np.testing.assert_allclose(spline(self.POINTS, np.arange(7)), self.POINTS, atol=1e-12)

    def test_it_is_scipys_sum_of_b_splines(self):
        at = np.linspace(0, 6, 101)
        ours = make_interp_spline(np.arange(7), self.POINTS, k=3, bc_type="natural")(at)
        np.testing.assert_allclose(spline(self.POINTS, at), ours, atol=1e-12)

    def test_acceleration_is_continuous_and_nothing_at_the_ends(self):
        h = 1e-3

        def acceleration(at):
            before, now, after = (spline(self.POINTS, at + shift) for shift in (-h, 0, h))
            return (before - 2 * now + after) / h**2

        inner = np.arange(1.0, 6.0)
        left, right = acceleration(inner - 2 * h), acceleration(inner + 2 * h)
        np.testing.assert_allclose(left, right, atol=0.2)
        assert np.abs(left).max() > 2  # so that a jump would be seen
        assert np.abs(acceleration(np.array([h, 6 - h]))).max() < 0.1


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 1e-3))
def test_rotations_are_scipys(quaternion):
    (found,) = rotations(np.array([quaternion]))
    np.testing.assert_allclose(
        found, Rotation.from_quat(quaternion, scalar_first=True).as_matrix(), atol=1e-12
    )
