import dataclasses
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import pictures, predictions, rendering
from analysis.predictions import COLUMNS, Forecast, Kind, Predictions
from archive_store.reading import Run

S = 9


def kind(name: str, outputs: int = 1, examples: int = COLUMNS, off: float = 0.25, seed: int = 0) -> Kind:
    """Random truth, and predictions that are `off` along every output."""
    truth = np.random.default_rng(seed).normal(size=(examples, S, outputs)).astype(np.float32)
    return Kind(name, truth, truth + np.float32(off), 0.0123456)


ONE = (kind("sine"), kind("a_kind_of_signal_with_a_long_name", examples=2, off=0.5, seed=1))
SPACE = (kind("helix", 3), kind("lorenz", 3, examples=1, off=3.0), *(kind(f"way_{i}", 3) for i in range(3)))


def test_distances_are_euclidean() -> None:
    np.testing.assert_allclose(
        kind("helix", 3).distances, np.full((COLUMNS, S), 0.25 * math.sqrt(3)), rtol=1e-5
    )


def test_every_example_has_its_truth_its_prediction_and_its_error(figure: Figure) -> None:
    axes = figure.subplots(4, COLUMNS)
    predictions.lines(ONE, axes)
    for row, each in enumerate(ONE):
        for column in range(len(each.truth)):
            truth, given = axes[2 * row, column].lines
            np.testing.assert_array_equal(truth.get_ydata(), each.truth[column, :, 0])
            np.testing.assert_array_equal(given.get_ydata(), each.predicted[column, :, 0])
            np.testing.assert_array_equal(given.get_xdata(), np.arange(S))
            (filled,) = axes[2 * row + 1, column].collections
            assert filled.get_paths()[0].vertices[:, 1].max() == pytest.approx(each.distances[column].max())
            assert filled.get_paths()[0].vertices[:, 1].min() == 0


def test_values_share_a_scale_within_a_kind_and_errors_throughout(figure: Figure) -> None:
    axes = figure.subplots(4, COLUMNS)
    predictions.lines(ONE, axes)
    for row, each in enumerate(ONE):
        scales = {panel.get_ylim() for panel in axes[2 * row, : len(each.truth)]}
        assert len(scales) == 1
        (low, high) = scales.pop()
        assert low < min(each.truth.min(), each.predicted.min())
        assert high > max(each.truth.max(), each.predicted.max())
    errors = np.array([panel.get_ylim() for panel in [*axes[1], *axes[3, :2]]])
    np.testing.assert_allclose(errors, [(0.0, 1.05 * 0.5)] * 5, rtol=1e-6)


def test_what_has_no_example_is_off_and_the_last_row_names_the_axis(figure: Figure) -> None:
    axes = figure.subplots(4, COLUMNS)
    predictions.lines(ONE, axes)
    assert [panel.axison for panel in axes.flat] == [True] * 8 + [False] + [True] * 2 + [False]
    assert axes[0, 0].get_title("left") == "sine: mean error 0.0123"
    assert [panel.get_xlabel() for panel in axes[:, 0]] == ["", "", "", "position [tokens]"]


def test_several_outputs_are_several_lines_and_errors_of_nothing_have_a_scale(figure: Figure) -> None:
    axes = figure.subplots(2, COLUMNS)
    exact = kind("pair", outputs=2, examples=1, off=0.0)
    predictions.lines([exact], axes)
    np.testing.assert_array_equal(
        np.stack([line.get_ydata() for line in axes[0, 0].lines[:2]], -1), exact.truth[0]
    )
    assert axes[1, 0].get_ylim() == (0.0, 1.0)


@pytest.mark.parametrize("each", SPACE)
def test_curves_in_space_lie_in_one_cube(each: Kind, figure: Figure) -> None:
    axes = figure.add_subplot(projection="3d")
    predictions.space(each, axes)
    truth, given, start = (np.asarray(line.get_data_3d()).T for line in axes.lines)
    np.testing.assert_array_equal(truth, each.truth[0])
    np.testing.assert_array_equal(given, each.predicted[0])
    np.testing.assert_array_equal(start, each.truth[0, :1])
    low, high = np.array([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()]).T
    np.testing.assert_allclose(high - low, (high - low)[0])
    both = np.concatenate([truth, given])
    assert (low <= both.min(0) + 1e-6).all()
    assert (high >= both.max(0) - 1e-6).all()
    assert (high - low)[0] == pytest.approx(np.ptp(both, axis=0).max())
    assert axes.get_title() == f"{each.name.replace('_', ' ')}: position error 0.0123"


def compared(each: Kind) -> Kind:
    """Give it an R2 and two forecasts, the second of which is not finite somewhere."""
    again, linear = each.truth + 1.0, each.truth.astype(np.float64) + 2.0
    linear[:, 2] = math.inf
    forecasts = (Forecast("last value again", again, 0.39), Forecast("linear", linear, -1.25))
    return dataclasses.replace(each, r2=0.9543, forecasts=forecasts)


def test_forecasts_are_thin_lines_and_their_r2_stand_beside_that_of_the_organism(figure: Figure) -> None:
    axes = figure.subplots(2, COLUMNS)
    each = compared(ONE[0])
    predictions.lines([each], axes)
    for panel, truth in zip(axes[0], each.truth, strict=True):
        _, given, again, linear = panel.lines
        np.testing.assert_array_equal(again.get_ydata(), truth[:, 0] + 1.0)
        assert np.isnan(linear.get_ydata()).ravel().tolist() == [place == 2 for place in range(S)]
        assert max(again.get_linewidth(), linear.get_linewidth()) < given.get_linewidth()
    title = "sine: mean error 0.0123, R2 0.954 (last value again 0.39, linear -1.25)"
    assert axes[0, 0].get_title("left") == title
    names = [entry.get_label() for entry in predictions.key(False, each.forecasts)]
    assert names[-2:] == ["last value again", "linear"]
    space = predictions.space(compared(SPACE[0]), figure.add_subplot(projection="3d"))
    assert space.get_title() == (
        "helix: position error 0.0123\nR2 0.954\n(last value again 0.39, linear -1.25)"
    )


def marred(each: Kind, value: float, examples: slice = slice(0, 1)) -> Kind:
    """Let one output at the positions 2 and 3 be another."""
    predicted = each.predicted.copy()
    predicted[examples, 2:4, -1] = value
    return dataclasses.replace(each, predicted=predicted, error=value)


HOLES = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("value", HOLES)
def test_what_is_not_finite_is_a_gap_of_the_lines_and_is_counted(value: float, figure: Figure) -> None:
    axes = figure.subplots(4, COLUMNS)
    predictions.lines([marred(kind("pair", outputs=2), value), ONE[0]], axes)
    for line, output in zip(axes[0, 0].lines[2:], kind("pair", outputs=2).predicted[0].T, strict=True):
        assert np.isnan(line.get_ydata()[2:4]).all()
        np.testing.assert_array_equal(np.delete(line.get_ydata(), [2, 3]), np.delete(output, [2, 3]))
    assert axes[0, 0].get_title("left") == f"pair: mean error {value}\n2 of 27 points are not finite"
    assert axes[2, 0].get_title("left") == "sine: mean error 0.0123"
    np.testing.assert_allclose(axes[1, 0].get_ylim(), (0.0, 1.05 * 0.25 * math.sqrt(2)), rtol=1e-6)
    figure.draw_without_rendering()


@pytest.mark.parametrize("value", HOLES)
def test_in_space_the_rest_of_the_curve_fills_the_cube(value: float, figure: Figure) -> None:
    axes = figure.add_subplot(projection="3d")
    predictions.space(marred(SPACE[0], value, slice(None)), axes)
    truth, given = (np.asarray(line.get_data_3d()).T for line in axes.lines[:2])
    assert np.isnan(given[2:4]).all()
    low, high = np.array([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()]).T
    both = np.concatenate([truth, np.delete(given, [2, 3], axis=0)])
    assert (high - low)[0] == pytest.approx(np.ptp(both, axis=0).max())
    assert axes.get_title() == f"helix: position error {value}\n2 of 9 points are not finite"
    figure.draw_without_rendering()


def test_where_nothing_is_finite_the_truth_is_drawn_alone(figure: Figure) -> None:
    nothing = [dataclasses.replace(each, predicted=each.predicted * math.nan) for each in (ONE[0], SPACE[0])]
    axes = figure.subplots(2, COLUMNS)
    predictions.lines(nothing[:1], axes)
    assert axes[1, 0].get_ylim() == (0.0, 1.0)
    space = predictions.space(nothing[1], figure.add_subplot(projection="3d"))
    truth = nothing[1].truth[0]
    assert np.ptp(space.get_xlim()) == pytest.approx(np.ptp(truth, axis=0).max())
    figure.draw_without_rendering()


def test_errors_of_huge_predictions_are_finite() -> None:
    assert marred(ONE[0], 3e38).distances.max() == pytest.approx(3e38)


BAD = tuple(marred(each, math.nan) for each in ONE), tuple(marred(each, math.inf) for each in SPACE)


BESIDE = tuple(map(compared, ONE)), tuple(map(compared, SPACE))


@pytest.mark.parametrize("kinds", [ONE, ONE[:1], SPACE, SPACE[1:2], *BAD, *BESIDE])
def test_nothing_leaves_the_picture_or_runs_into_its_title(
    kinds: tuple[Kind, ...], own: Run, figure: Figure
) -> None:
    named = dataclasses.replace(own, config=own.config | {"name": "a-$long$_name." * 6})
    pictures.predicted(Predictions(1, 2, kinds), named, figure)
    figure.draw_without_rendering()
    (title,) = (text.get_window_extent() for text in figure.texts)
    (legend,) = (each.get_window_extent() for each in figure.legends)
    assert title.x1 <= figure.bbox.x1
    assert legend.y0 >= 0
    for panel in figure.axes:
        box = panel.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= legend.y1
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= title.y0


def test_the_title_says_who_predicts_and_after_which_round(own: Run, figure: Figure) -> None:
    pictures.predicted(Predictions(1, 2, ONE), own, figure)
    (title,) = figure.texts
    assert title.get_text() == "synthetic: predictions of organism 1 for test examples, round 2 of 12"


@pytest.mark.parametrize("kinds", [ONE, SPACE])
def test_the_same_predictions_give_the_same_bytes(kinds: tuple[Kind, ...], own: Run) -> None:
    def picture(run: Run, figure: Figure) -> None:
        pictures.predicted(Predictions(1, 2, kinds), run, figure)

    for format in rendering.FORMATS:
        assert pictures.render(own, picture, format) == pictures.render(own, picture, format)
