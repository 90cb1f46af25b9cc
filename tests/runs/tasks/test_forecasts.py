"""The generated tasks `signals` and `trajectories`: what their sequences obey, how they are divided and judged."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error

from organisms.task import Split, Task
from qd.seeding import generator
from runs import tasks
from runs.errors import ConfigError
from runs.tasks import signals, trajectories
from runs.tasks.forecasts import SIZES, by_kind, correlation, difference, mean_squared
from tests.runs.tasks.test_tasks import Asked, distinct, everything, splits

CURVES = {"signals": signals.SIGNALS, "trajectories": trajectories.TRAJECTORIES}
NAMES = {name: tuple(curves) for name, curves in CURVES.items()}
TIMES = np.arange(33.0)


def drawn(curve, size=40, times=TIMES, seed=0):
    return curve(np.random.default_rng(seed), size, times)


@cache  # nobody may change them
def built(name, **asked) -> Task:
    return tasks.load(Asked(name, **asked))


@pytest.mark.parametrize("name", NAMES)
class TestDividing:
    def test_at_every_position_the_next_value_is_the_target(self, name):
        task = built(name)
        assert (task.kind, task.causal, task.length) == ("sequence", True, 32)
        for split in splits(task):
            np.testing.assert_array_equal(split.inputs[:, 1:], split.targets[:, :-1])

    def test_no_sequence_is_in_two_splits(self, name):
        inputs, _ = everything(built(name))
        assert distinct(inputs) == len(inputs) == 4000

    def test_there_are_as_many_of_each_kind_and_a_cap_keeps_it_so(self, name):
        task = built(name, examples=100)
        assert task.labels == NAMES[name]
        assert [np.bincount(split.labels).tolist() for split in splits(task)] == [
            [number] * 5 for number in (20, *list(SIZES.values())[1:])
        ]

    def test_a_choice_of_kinds_takes_examples_away_and_changes_none(self, name):
        whole, kinds = built(name), (NAMES[name][3], NAMES[name][1])
        some = built(name, kinds=kinds)
        assert some.labels == kinds[::-1]  # in the task's order
        for all_of_it, chosen in zip(splits(whole), splits(some), strict=True):
            kept = np.isin(all_of_it.labels, [1, 3])
            np.testing.assert_array_equal(chosen.inputs, all_of_it.inputs[kept])
            np.testing.assert_array_equal(chosen.targets, all_of_it.targets[kept])
            np.testing.assert_array_equal(chosen.labels, all_of_it.labels[kept] // 2)

    def test_each_kind_has_a_stream_of_its_own(self, name):
        task = built(name)
        for label, (kind, curve) in enumerate(CURVES[name].items()):
            values = curve(generator(0, 0, f"task:{name}:probe:{kind}"), 80, TIMES)
            own = task.probe.inputs[task.probe.labels == label]
            np.testing.assert_array_equal(own, values[:, :-1].astype(np.float32))

    def test_other_lengths(self, name):
        assert built(name, length=8).train.targets.shape[:2] == (2400, 8)
        with pytest.raises(ConfigError, match=f"'{name}' takes 8 to 1024 tokens: fewer than 8 values hardly"):
            built(name, length=7)

    def test_what_is_no_choice_of_kinds(self, name):
        with pytest.raises(
            ConfigError, match=f"task.kinds has 'lisajous'; the kinds of the task '{name}' are .*you"
        ):
            built(name, kinds=("lisajous",))
        for kinds in ((), ("lissajous", "lissajous")):
            with pytest.raises(
                ConfigError, match=r"task.kinds is \[.*\]; it must name one kind or more, each once"
            ):
                built(name, kinds=kinds)

    def test_a_perfect_forecast_has_no_errors(self, name):
        task = built(name)
        found = task.metrics(task.test.targets, task.test)
        assert [key.split("_")[0] for key in found][:: len(found) // 5] == list(NAMES[name])
        for key, value in found.items():
            assert value == pytest.approx(1 if key.endswith("correlation") else 0)

    def test_kinds_are_judged_apart(self, name):
        task = built(name)
        off = task.test.targets.copy()
        off[task.test.labels == 2] += 0.5
        found, perfect = (task.metrics(outputs, task.test) for outputs in (off, task.test.targets))
        changed = {key for key in found if found[key] != pytest.approx(perfect[key], abs=1e-6)}
        assert changed == {f"{NAMES[name][2]}_{'mse' if name == 'signals' else 'position_error'}"}


def remainder(values, frequencies):
    """What least squares leaves of a signal [T] when it is written as waves of these frequencies."""
    angles = 2 * np.pi * np.outer(np.arange(len(values)), frequencies)
    basis = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, values, rcond=None)
    amplitudes = np.hypot(*weights.reshape(2, -1))
    return np.abs(values - basis @ weights).max(), amplitudes


def fitted(values, multiples, low, high):
    """Find the fundamental that explains a signal best: what is left, itself, the amplitudes."""
    grid = np.linspace(low, high, 500)
    multiples = np.asarray(multiples)
    best = min(grid, key=lambda f: remainder(values, f * multiples)[0])
    width = grid[1] - grid[0]
    found = minimize_scalar(
        lambda f: remainder(values, f * multiples)[0],
        bounds=(best - width, best + width),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    left, amplitudes = remainder(values, found * multiples)
    return left, found, amplitudes


class TestSignals:
    @pytest.mark.parametrize("kind", signals.SIGNALS)
    def test_all_values_lie_in_their_range_and_fill_it(self, kind):
        values = drawn(signals.SIGNALS[kind], 2000)
        assert values.shape == (2000, 33, 1)
        assert 0.9 < np.abs(values).max() <= 1

    @pytest.mark.parametrize(("kind", "order"), [("sine", 0), ("circle", 1)])
    def test_sines_and_circles_obey_their_recurrence(self, kind, order):
        # A sine has x[t] + x[t-2] = 2 cos(w) x[t-1]; about a mean, its differences have.
        x = np.diff(drawn(signals.SIGNALS[kind], 500)[..., 0], order)
        sums, middle = x[:, 2:] + x[:, :-2], x[:, 1:-1]
        slope = (sums * middle).sum(1, keepdims=True) / (middle**2).sum(1, keepdims=True)
        np.testing.assert_allclose(sums, slope * middle, atol=1e-12)
        frequencies = np.arccos(slope / 2) / (2 * np.pi)
        assert 1 / 32 - 1e-6 < frequencies.min() < 0.04
        assert 0.24 < frequencies.max() < 1 / 4 + 1e-6

    def test_a_circle_has_a_centre_and_a_radius(self):
        for values in drawn(signals.circle, 10)[..., 0]:
            left, _, (radius,) = fitted(values - centre_of(values), [1], 1 / 32, 1 / 4)
            assert left < 1e-6
            assert 0.3 <= radius <= 0.7
        centres = [centre_of(values) for values in drawn(signals.circle, 500)[..., 0]]
        assert -0.3 - 1e-9 < min(centres) < -0.29 < 0.29 < max(centres) < 0.3 + 1e-9

    def test_a_composite_is_of_one_to_four_harmonics(self):
        counts = []
        for values in drawn(signals.composite, 20, np.arange(129.0))[..., 0]:
            _, found, _ = fitted(values, [1, 2, 3, 4], 1 / 64, 1 / 16)
            # The first two harmonics of a wave are the second and the fourth of one half as fast.
            fits = [
                m * found for m in (1, 2, 3, 4) if remainder(values, m * found * signals.HARMONICS)[0] < 1e-4
            ]
            _, amplitudes = remainder(values, fits[-1] * signals.HARMONICS)
            assert 1 / 64 <= fits[-1] <= 1 / 16
            sounding = amplitudes > 1e-2
            assert (np.diff(sounding.astype(int)) <= 0).all()  # the first ones
            assert 0.5 - 1e-3 < amplitudes.sum() < 1 + 1e-3
            assert amplitudes[sounding].min() > 0.249 * amplitudes.max()
            counts.append(int(sounding.sum()))
        assert set(counts) == {1, 2, 3, 4}

    def test_a_spiral_is_a_wave_whose_radius_changes_evenly(self):
        # So x obeys the square of a wave's recurrence: (1 - 2 cos(w) z + z^2)^2 x = 0.
        growing = 0
        for x in drawn(signals.spiral)[..., 0]:
            a, b, c = x[4:] + 2 * x[2:-2] + x[:-4], x[3:-1] + x[1:-3], x[2:-2]

            def left(cosine, a=a, b=b, c=c):
                return np.abs(a - 4 * cosine * b + 4 * cosine**2 * c).max()

            grid = np.linspace(0, 1, 2000)
            best = min(grid, key=left)
            assert (
                minimize_scalar(left, bounds=(best - 1e-3, best + 1e-3), options={"xatol": 1e-13}).fun < 1e-9
            )
            growing += np.abs(x[-8:]).max() > np.abs(x[:8]).max()
        assert 10 < growing < 30

    def test_a_lissajous_figure_has_two_frequencies_in_a_simple_ratio(self):
        found = []
        for values in drawn(signals.lissajous, 15)[..., 0]:
            ratios = {ratio: fitted(values, ratio, 1 / 32, 1 / 12) for ratio in ((1, 2), (1, 3), (2, 3))}
            ratio = min(ratios, key=lambda ratio: ratios[ratio][0])
            left, _, amplitudes = ratios[ratio]
            assert left < 1e-6
            assert np.square(amplitudes).sum() == pytest.approx(1 / 2, rel=1e-4)  # cos^2 + sin^2, over two
            found.append(ratio)
        assert len(set(found)) == 3


def centre_of(values):
    """Mean about which a sampled sine turns, from its recurrence with a constant."""
    sums, middle = values[2:] + values[:-2], values[1:-1]
    slope, constant = np.linalg.lstsq(np.stack([middle, np.ones_like(middle)], 1), sums, rcond=None)[0]
    return constant / (2 - slope)


class TestTrajectories:
    @pytest.mark.parametrize("kind", trajectories.TRAJECTORIES)
    def test_all_points_lie_in_the_cube(self, kind):
        points = drawn(trajectories.TRAJECTORIES[kind], 500)
        assert points.shape == (500, 33, 3)
        assert (np.abs(points).max((0, 1)) > 0.5).all()
        assert np.abs(points).max() <= 1

    def test_helices_have_one_radius_pitch_and_hand(self):
        first = np.diff(drawn(trajectories.helix, 400), axis=1)
        second, third = np.diff(first, axis=1), np.diff(first, 2, axis=1)
        bend = np.linalg.norm(second, axis=-1)
        np.testing.assert_allclose(bend, bend[:, :1] + 0 * bend, rtol=1e-9)
        cosine = (second[:, 1:] * second[:, :-1]).sum(-1)[:, 0] / bend[:, 0] ** 2
        frequency = np.arccos(cosine) / (2 * np.pi)
        assert 1 / 32 - 1e-9 < frequency.min() < frequency.max() < 1 / 4 + 1e-9
        half = np.sin(np.pi * frequency)
        radius = bend[:, 0] / (4 * half**2)
        assert 0.2 - 1e-9 < radius.min() < 0.22 < 0.58 < radius.max() < 0.6 + 1e-9
        speed = np.linalg.norm(first, axis=-1)
        np.testing.assert_allclose(speed, speed[:, :1] + 0 * speed, rtol=1e-9)
        height = 16 * np.sqrt(speed[:, 0] ** 2 - (2 * radius * half) ** 2)  # half of 32 steps
        assert 0.2 - 1e-6 < height.min() < 0.22 < 0.78 < height.max() < 0.8 + 1e-6
        hands = np.sign(np.linalg.det(np.stack([first[:, :-2], second[:, :-1], third], axis=-1)))
        assert (hands == hands[:, :1]).all()
        assert 150 < (hands[:, 0] > 0).sum() < 250

    def test_helices_point_everywhere(self):
        axes = np.diff(drawn(trajectories.helix, 2000)[:, [0, -1]], axis=1)[:, 0]
        axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
        np.testing.assert_allclose(axes.mean(0), 0, atol=0.05)
        np.testing.assert_allclose(axes.T @ axes / len(axes), np.eye(3) / 3, atol=0.03)

    def test_ellipses_have_a_focus_in_the_origin_and_sweep_equal_areas(self):
        times = np.linspace(0, 32, 4001)
        for points in drawn(trajectories.ellipse, 20, times):
            radius = np.linalg.norm(points, axis=-1)
            # A conic with a focus in the origin: r = p - <e, x>.
            conic = np.concatenate([np.ones((len(points), 1)), points], axis=1)
            weights, *_ = np.linalg.lstsq(conic, radius, rcond=None)
            np.testing.assert_allclose(conic @ weights, radius, atol=1e-9)
            eccentricity = np.linalg.norm(weights[1:])
            assert eccentricity <= 0.7
            assert 0.5 - 1e-9 < weights[0] / (1 - eccentricity) < 1 + 1e-9  # aphelion
            areas = np.cross(points[:-1], points[1:])
            np.testing.assert_allclose(areas, areas[:1] + 0 * areas, atol=1e-4 * np.linalg.norm(areas[0]))
            axis = weights[0] / (1 - eccentricity**2)
            whole = 2 * np.pi * axis**2 * math.sqrt(1 - eccentricity**2)
            period = whole / np.linalg.norm(areas[0]) * (times[1] - times[0])
            assert 8 - 1e-3 < period < 32 + 1e-2

    def test_lissajous_figures_are_sines_along_the_axes(self):
        for points in drawn(trajectories.lissajous, 20):
            sums, middle = points[2:] + points[:-2], points[1:-1]
            slope = (sums * middle).sum(0) / (middle**2).sum(0)
            np.testing.assert_allclose(sums, slope * middle, atol=1e-12)
            frequency = np.arccos(slope / 2) / (2 * np.pi)
            commons = [frequency[0] / first for first in (1, 2, 3)]
            off = [np.abs(frequency / common - np.rint(frequency / common)).max() for common in commons]
            common = commons[int(np.argmin(off))]
            assert min(off) < 1e-6
            assert set(np.rint(frequency / common)) <= {1, 2, 3, 4, 6}
            amplitudes = [
                fitted(points[:, i], [1], f - 1e-3, f + 1e-3)[2][0] for i, f in enumerate(frequency)
            ]
            assert 0.5 - 1e-6 < min(amplitudes) < max(amplitudes) < 1 + 1e-6

    def test_each_point_of_the_attractor_follows_from_the_one_before(self):
        def velocity(t, s):
            return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 * s[2] / 3]

        points = 30 * drawn(trajectories.attractor, 4) + [0, 0, 25]
        for path in points:
            for now, following in pairwise(path[::4]):
                exact = solve_ivp(velocity, (0, 0.4), now, method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
                np.testing.assert_allclose(following, exact, atol=2e-3)

    def test_the_pieces_are_of_the_attractor_and_not_of_the_way_to_it(self):
        points = drawn(trajectories.attractor, 200)
        assert np.corrcoef(points[:, 0, 0], points[:, 0, 1])[0, 1] > 0.8
        wings = np.sign(points[..., 0])
        assert 0.05 < (wings == wings[:, :1]).all(1).mean() < 0.5  # some stay on one, some do not

    def test_ways_have_continuous_accelerations_and_legs_of_one_duration(self):
        step = 0.01
        times = np.arange(0, 32 + step / 2, step)
        for points in drawn(trajectories.waypoints, 10, times):
            second, third = (np.diff(points, order, axis=0) / step**order for order in (2, 3))
            assert np.abs(np.diff(second, axis=0)).max() < 1.01 * step * np.abs(third).max()
            assert np.abs(second).max() > 20 * np.abs(np.diff(second, axis=0)).max()
            # The third derivative is constant on a leg.
            turns = np.flatnonzero(np.abs(np.diff(third, axis=0)).max(1) > 1e-4) * step
            marks = turns[np.append(True, np.diff(turns) > 0.1)]
            legs = np.diff(marks)
            assert len(legs) >= 2
            assert np.ptp(legs) < 3 * step
            assert 4 - 0.05 < legs.mean() < 8 + 0.05


class TestErrors:
    RNG = np.random.default_rng(7)
    TRUTH, PREDICTED = RNG.normal(size=(2, 6, 9, 3))

    def test_mean_squares_are_scikit_learns(self):
        expected = mean_squared_error(self.TRUTH.ravel(), self.PREDICTED.ravel())
        assert mean_squared(self.PREDICTED, self.TRUTH) == pytest.approx(expected)

    def test_the_correlation_is_scipys(self):
        expected = pearsonr(self.TRUTH.ravel(), self.PREDICTED.ravel()).statistic
        assert correlation(self.PREDICTED, self.TRUTH) == pytest.approx(expected)
        assert correlation(3 - 2 * self.TRUTH, self.TRUTH) == pytest.approx(-1)

    def test_what_does_not_vary_has_no_correlation(self):
        for value in (1.0, 0.1, 1e-200):  # the mean of the second is rounded
            constant = np.full(self.TRUTH.shape, value)
            assert math.isnan(correlation(constant, self.TRUTH))
            assert math.isnan(correlation(self.TRUTH, constant))

    def test_what_is_no_number_has_no_correlation(self):
        assert math.isnan(correlation(self.TRUTH * math.nan, self.TRUTH))

    @pytest.mark.parametrize(("order", "weights"), [(0, [1]), (1, [-1, 1]), (2, [1, -2, 1])])
    def test_differences_are_those_of_the_points_one_at_a_time(self, order, weights):
        errors = []
        for ours, theirs in zip(self.PREDICTED, self.TRUTH, strict=True):
            for t in range(9 - order):
                derivatives = [
                    [sum(w * path[t + i, axis] for i, w in enumerate(weights)) for axis in range(3)]
                    for path in (ours, theirs)
                ]
                errors.append(math.dist(*derivatives))
        assert difference(order)(self.PREDICTED, self.TRUTH) == pytest.approx(np.mean(errors))

    def test_a_constant_velocity_too_much_is_no_error_of_acceleration(self):
        drift = 0.25 * np.arange(9)[:, None] * [0, 0, 1]
        assert difference(1)(self.TRUTH + drift, self.TRUTH) == pytest.approx(0.25)
        assert difference(2)(self.TRUTH + drift, self.TRUTH) == pytest.approx(0, abs=1e-12)

    def test_velocities_are_by_the_step_and_accelerations_by_the_step_squared(self):
        task, t = built("trajectories"), np.arange(32)[:, None]
        drifting = task.metrics(task.test.targets + 0.25 * t * [0, 0, 1], task.test)
        speeding = task.metrics(task.test.targets + 0.5 * t**2 * [0, 0.5, 0], task.test)
        for kind in task.labels:
            assert drifting[f"{kind}_position_error"] == pytest.approx(0.25 * 15.5, rel=1e-5)
            assert drifting[f"{kind}_velocity_error"] == pytest.approx(0.25, rel=1e-5)
            assert drifting[f"{kind}_acceleration_error"] == pytest.approx(0, abs=1e-5)
            assert speeding[f"{kind}_acceleration_error"] == pytest.approx(0.5, rel=1e-5)

    def test_errors_are_taken_in_float64(self):
        split = Split(np.zeros((2, 8, 1)), np.zeros((2, 8, 1), np.float32), np.array([0, 1]))
        types = by_kind(("a", "b"), {"wide": lambda p, t: float(p.dtype == t.dtype == np.float64)})
        assert types(np.zeros((2, 8, 1), np.float32), split) == {"a_wide": 1, "b_wide": 1}
