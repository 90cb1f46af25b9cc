import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler

from qd.canonical import canonical
from qd.measures import (
    DESCRIPTIONS,
    MEASURES,
    Ranges,
    ranges_from_samples,
    short_name,
)
from qd.records import read

RANGES = Ranges((0.0, 0.0, -2.0, 0.1, 1.0), (1.0, 0.5, 2.0, 0.2, 9.0))
RAW = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5)


@given(RAW)
def test_behaviours_are_in_the_unit_cube_and_clipping_is_reported(raw):
    unit, out = RANGES.behaviour(raw)
    for value, clipped, number, low, high in zip(unit, out, raw, RANGES.low, RANGES.high, strict=True):
        assert 0 <= value <= 1
        assert clipped == (number < low or number > high)
        if clipped:
            assert value == (0.0 if number < low else 1.0)


@given(st.lists(RAW, min_size=1, max_size=5))
def test_many_at_once_are_the_same_bits(rows):
    unit, out = RANGES.behaviours(np.array(rows))
    assert [(tuple(u), tuple(o)) for u, o in zip(unit.tolist(), out.tolist(), strict=True)] == [
        RANGES.behaviour(row) for row in rows
    ]


def test_agrees_with_scikit_learn_inside_the_ranges():
    scaler = MinMaxScaler().fit(np.array([RANGES.low, RANGES.high]))
    samples = np.random.default_rng(0).uniform(RANGES.low, RANGES.high, (50, 5))
    np.testing.assert_allclose(RANGES.behaviours(samples)[0], scaler.transform(samples), atol=1e-14)


def test_ranges_are_quantiles_wider_by_a_quarter_in_all():
    samples = np.linspace(0.0, 1.0, 101)[:, None] * [1.0, 2.0, 3.0, 4.0, 5.0]
    ranges = ranges_from_samples(samples, {"access_locality": (-1.0, 7.0)})
    scale = np.array([1.0, 2.0, 3.0, 0.0, 5.0])
    shift_low, shift_high = [0, 0, 0, -1.0, 0], [0, 0, 0, 7.0, 0]
    np.testing.assert_allclose(ranges.low, scale * (0.01 - 0.1225) + shift_low, atol=1e-12)
    np.testing.assert_allclose(ranges.high, scale * (0.99 + 0.1225) + shift_high, atol=1e-12)
    width = (np.array(ranges.high) - ranges.low)[[0, 1, 2, 4]]
    np.testing.assert_allclose(width, 1.25 * 0.98 * scale[[0, 1, 2, 4]])


@pytest.mark.parametrize("names", [("reach", "norm"), MEASURES[::-1], tuple("abcdefgh")])
def test_ranges_are_as_many_as_there_are_names(names):
    p = len(names)
    samples = np.random.default_rng(p).normal(size=(60, p)) * 10.0 ** np.arange(p)
    ranges = ranges_from_samples(samples, {names[1]: (-1.0, 7.0)}, names)
    low, high = (np.quantile(samples, q, axis=0) for q in (0.01, 0.99))
    expected = np.array([low - 0.125 * (high - low), high + 0.125 * (high - low)])
    expected[:, 1] = -1.0, 7.0
    np.testing.assert_allclose([ranges.low, ranges.high], expected)
    unit, out = ranges.behaviours(samples)
    wanted = (samples - expected[0]) / (expected[1] - expected[0])
    np.testing.assert_allclose(unit, np.clip(wanted, 0.0, 1.0), atol=1e-12)
    np.testing.assert_array_equal(out, (wanted < 0) | (wanted > 1))
    assert ranges.behaviour(samples[0].tolist()) == (tuple(unit[0]), tuple(out[0]))


def test_ranges_are_journaled_and_read_back():
    assert read(Ranges, json.loads(canonical(RANGES))) == RANGES


def test_every_measure_is_described():
    assert len(DESCRIPTIONS) >= 10
    assert tuple(DESCRIPTIONS)[: len(MEASURES)] == MEASURES
    assert all(description.text and description.unit for description in DESCRIPTIONS.values())


def test_refusals_of_ranges():
    for low, high in [(4, 5), (5, 4), (0, 0)]:
        with pytest.raises(ValueError, match=f"each have one value per measure, got {low} and {high} values"):
            Ranges((0.0,) * low, (1.0,) * high)
    for bad in [(0.0, 0.0), (1.0, 0.0), (math.nan, 1.0), (0.0, math.inf), (-1.7e308, 1.7e308)]:
        with pytest.raises(ValueError, match="the range of measure 2 of 5 must be finite with low < high"):
            Ranges((0.0, bad[0], 0.0, 0.0, 0.0), (1.0, bad[1], 1.0, 1.0, 1.0))


def test_refusals_of_raw_values():
    with pytest.raises(ValueError, match="raw must have 5 measures, got 2"):
        RANGES.behaviour((0.1, 0.2))
    with pytest.raises(ValueError, match=r"measure 3 of 5 must be finite .* got nan"):
        RANGES.behaviour((0.1, 0.2, math.nan, 0.1, 2.0))


def test_refusals_of_samples():
    samples = np.random.default_rng(0).normal(size=(20, 5))
    with pytest.raises(ValueError, match=r"samples must be \[n, 5\] with n >= 1, got shape \(20, 4\)"):
        ranges_from_samples(samples[:, :4], {})
    with pytest.raises(ValueError, match="no measure is called 'span'"):
        ranges_from_samples(samples, {"span": (0.0, 1.0)})
    samples[:, 2] = 3.0
    with pytest.raises(ValueError, match=r"gradient_flow is 3\.0 for nearly all components"):
        ranges_from_samples(samples, {})
    samples[7, 1] = math.inf
    with pytest.raises(ValueError, match="samples must be finite, but activation_sparsity is inf in row 7"):
        ranges_from_samples(samples, {})
    with pytest.raises(ValueError, match="samples must be finite, but measure 2 of 5 is inf in row 7"):
        RANGES.behaviours(samples)
    with pytest.raises(ValueError, match=r"samples must be \[n, 2\] with n >= 1, got shape \(20, 5\)"):
        Ranges((0.0, 0.0), (1.0, 1.0)).behaviours(samples)


@pytest.mark.parametrize(
    ("measure", "name"), [("gradient_flow", "gradient_flow"), ("my.module:norm", "norm")]
)
def test_a_measure_is_called_by_the_last_part_of_its_import_path(measure, name):
    assert short_name(measure) == name
