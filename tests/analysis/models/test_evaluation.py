"""What is drawn of a model's predictions: spectra, errors over the horizon, paths; and whole figures of them."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.models import evaluation, figures
from analysis.models.evaluation import Rollout, amplitudes, percentiles
from analysis.predictions import Kind
from analysis.rendering import rendered


def rollout(features=2, broken=False, name="a_kind"):
    draws = np.random.default_rng(0)
    context, truth = draws.normal(size=(6, 4, features)), draws.normal(size=(6, 5, features))
    predicted = truth + np.linspace(0, 1, 5)[:, None] / np.sqrt(features)
    if broken:
        predicted[:5, 3] = np.nan
    return Rollout(name, context, truth, predicted)


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


@pytest.mark.parametrize("periods", [2, 5, 7])
def test_a_sine_of_whole_periods_has_its_amplitude_at_its_frequency(periods):
    t = np.arange(32)
    signals = np.stack([3 * np.sin(2 * np.pi * periods * t / 32 + phase) + 10 for phase in (0.0, 1.0)])
    found = amplitudes(signals)
    assert found[periods] == pytest.approx(3)
    np.testing.assert_allclose(found[[periods - 1, periods + 1]], 1.5)
    others = np.delete(found, [periods - 1, periods, periods + 1])
    np.testing.assert_allclose(others, 0, atol=1e-12)


def test_the_error_over_the_horizon_is_that_of_the_examples():
    axes = Figure().subplots()
    evaluation.horizon(rollout(), axes)
    np.testing.assert_allclose(
        lines(axes)["model, median"], np.stack([np.arange(1, 6), np.linspace(0, 1, 5)], 1), atol=1e-12
    )
    one = rollout()
    held = np.sort(np.linalg.norm(one.context[:, -1:] - one.truth, axis=-1), 0)
    assert (lines(axes)["last value again, median"][:, 1] >= held[2]).all()
    assert (lines(axes)["last value again, median"][:, 1] <= held[3]).all()


def test_errors_that_are_not_finite_are_the_largest_and_drawn_as_gaps():
    errors = np.array([[0.0, 1.0], [1.0, np.nan], [2.0, np.inf]])
    np.testing.assert_array_equal(percentiles(errors, (0, 50, 100)), [[0, 1], [1, np.nan], [2, np.nan]])


def test_paths_from_above_go_on_from_what_was_given():
    axes, one = Figure().subplots(), rollout(3)
    evaluation.from_above(one, 1, axes)
    found = lines(axes)
    np.testing.assert_array_equal(found["given"], one.context[1, :, :2])
    for name, values in (("truth", one.truth), ("model", one.predicted)):
        np.testing.assert_array_equal(found[name][0], one.context[1, -1, :2])
        np.testing.assert_array_equal(found[name][1:], values[1, :, :2])


def kinds(outputs):
    draws = np.random.default_rng(1)
    return [Kind(name, *draws.normal(size=(2, 3, 8, outputs)), 0.5, 0.9) for name in ("one", "two")]


@pytest.mark.parametrize(
    "fill",
    [
        lambda figure: figures.predictions(kinds(1), "m", figure),
        lambda figure: figures.predictions(kinds(3), "m", figure),
        lambda figure: figures.horizon([rollout(1), rollout(1, broken=True)], "m", figure),
        lambda figure: figures.spectra(
            {"one": (np.ones((2, 8)) * np.arange(8), np.ones((2, 8)))}, "m", figure
        ),
        lambda figure: figures.paths([rollout(3), rollout(3, broken=True)], "m", figure),
    ],
    ids=["lines", "space", "horizon", "spectra", "paths"],
)
def test_figures_are_pictures_and_the_same_each_time(fill):
    first, second = rendered(fill, "png"), rendered(fill, "png")
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_every_kind_has_a_panel():
    figure = Figure()
    figures.horizon([rollout(1, name=name) for name in "abcd"], "m", figure)
    assert [axes.get_title() for axes in figure.axes if axes.axison] == list("abcd")
    (key,) = figure.legends
    assert [text.get_text() for text in key.get_texts()] == [
        "model, median",
        "percentiles 10 to 90",
        "last value again, median",
    ]
