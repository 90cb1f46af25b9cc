from unittest.mock import patch

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import pictures, progress, style
from archive_store.reading import Run


def values(axes: Axes) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata(), dtype=float) for line in axes.lines}


def test_the_loss_of_training_stands_beside_that_of_validation(run: Run, axes: Axes) -> None:
    rounds, census = run.rounds(), run.census()
    curves = values(progress.loss(rounds, census, axes))
    np.testing.assert_array_equal(curves["training, over the round"], rounds["mean_loss"])
    expected = census.pivot(index="round", columns="organism", values="validation_loss").mean(axis=1)
    np.testing.assert_allclose(curves["validation, at its end"], expected, rtol=1e-12)


def test_an_organism_in_quarantine_is_left_out_and_an_infinite_loss_is_a_gap(axes: Axes) -> None:
    rounds = pd.DataFrame({"round": [1, 2], "mean_loss": [2.0, np.inf]})
    census = pd.DataFrame({"round": [1, 1, 2, 2], "validation_loss": [3.0, np.nan, np.inf, 1.0]})
    curves = values(progress.loss(rounds, census, axes))
    np.testing.assert_array_equal(curves["training, over the round"], [2.0, np.nan])
    np.testing.assert_array_equal(curves["validation, at its end"], [3.0, np.nan])


def test_the_score_is_called_by_its_name(run: Run, axes: Axes) -> None:
    rounds = run.rounds()
    curves = values(progress.score(rounds, axes, "R2"))
    np.testing.assert_array_equal(curves["best organism"], rounds["best_validation_score"])
    np.testing.assert_array_equal(curves["mean of organisms"], rounds["mean_validation_score"])
    assert axes.get_ylabel() == "validation R2"


def test_coverage_shows_cells_components_and_lineages(run: Run, axes: Axes) -> None:
    rounds = run.rounds()
    curves = values(progress.coverage(rounds, axes))
    np.testing.assert_array_equal(curves["cells"], rounds["coverage"])
    np.testing.assert_array_equal(curves["distinct components"], rounds["component_coverage"])
    np.testing.assert_array_equal(curves["distinct lineages"], rounds["lineage_coverage"])
    assert axes.yaxis.get_major_formatter()(0.125, 0) == "12.5"
    assert axes.get_ylim()[0] == 0.0


def test_qd_score_keeps_a_negative_one_in_sight(axes: Axes) -> None:
    progress.qd_score(pd.DataFrame({"round": [1, 2], "qd_score": [-3.0, 1.0]}), axes)
    assert axes.get_ylim()[0] <= -3.0


def test_rounds_without_elites_leave_a_gap(axes: Axes) -> None:
    rounds = pd.DataFrame({"round": [1, 2, 3], "best_objective": [None, 0.5, 0.6]})
    curves = values(progress.objective(rounds.assign(mean_objective=[None, 0.4, 0.5]), axes))
    np.testing.assert_array_equal(curves["best elite"], [np.nan, 0.5, 0.6])
    np.testing.assert_array_equal(curves["mean of elites"], [np.nan, 0.4, 0.5])


def test_parts_are_drawn_by_their_median_and_middle_half(axes: Axes) -> None:
    records = pd.DataFrame({"round": [1] * 5 + [2], "home_coherence": [0.1, 0.2, 0.4, 0.5, 0.9, np.nan]})
    progress.parts(records, axes, "home_coherence")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.4, np.nan])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.2, 0.5)
    assert axes.get_ylabel() == "coherence [mean cosine]"


def test_progress_has_a_panel_for_each_property_that_is_known(run: Run) -> None:
    records = run.records()
    unknown = records.assign(**dict.fromkeys(progress.PROPERTIES, np.nan))
    for each, panels in ((records, 8), (unknown, 5)):
        with patch.object(Run, "records", return_value=each):
            figure = Figure()
            pictures.KINDS["progress"](run, figure)
        assert len(figure.axes) == panels


def test_empty_archive_says_so(axes: Axes) -> None:
    rounds = pd.DataFrame({"round": [1], "best_objective": [None], "mean_objective": [None]})
    progress.objective(rounds, axes)
    assert [text.get_text() for text in axes.texts] == [style.EMPTY_SO_LOOK]


def test_one_round_shows_as_points(axes: Axes) -> None:
    progress.qd_score(pd.DataFrame({"round": [1], "qd_score": [2.0]}), axes)
    assert [line.get_marker() for line in axes.lines] == ["o"]
