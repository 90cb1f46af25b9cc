"""The picture of degradation draws the means of the curves that it is given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.experiments.degradation import SHARES, band_of, degradation, gathered

CURVES = {"one": [((0.0, 0.5, 1.0), (0.9, 0.8, 0.1)), ((0.0, 1.0), (0.7, 0.3))], "none": []}


def test_scores_between_shares_lie_on_straight_lines() -> None:
    values = gathered(CURVES["one"])
    assert values.shape == (2, len(SHARES))
    np.testing.assert_allclose(values[1], 0.7 - 0.4 * SHARES)
    assert values[0][SHARES == 0.75] == pytest.approx(0.45)


def test_degradation_has_a_panel_for_each_order_and_the_mean_over_seeds(figure: Figure) -> None:
    first, second = degradation({"at random": CURVES, "other": CURVES}, figure, "accuracy").axes
    (line,) = first.lines
    assert line.get_label() == "one (2)"
    np.testing.assert_allclose(line.get_ydata(), gathered(CURVES["one"]).mean(axis=0))
    low, high = band_of(gathered(CURVES["one"]), "one", "other")
    (corners,) = second.collections[0].get_paths()[0].to_polygons()
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((low.min(), high.max()))
    assert first.get_ylabel().startswith("test accuracy")
