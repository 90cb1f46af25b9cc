"""The picture of profiles draws the numbers that it is given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.experiments.profiles import profiles
from analysis.statistics.profiles import profile


def test_a_profile_is_drawn_with_its_band_where_there_is_one(figure: Figure) -> None:
    thresholds = np.linspace(0, 1, 5)
    found = {
        "three": profile([np.array([0.3, 0.6, 0.8])], thresholds, np.random.default_rng(0)),
        "one": profile([np.array([0.6])], thresholds, np.random.default_rng(0)),
    }
    (axes,) = profiles({"test R2": found}, figure).axes
    assert [line.get_label() for line in axes.lines] == ["three", "one"]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([1.0, 1.0, 2 / 3, 1 / 3, 0.0])
    assert len(axes.collections) == 1
