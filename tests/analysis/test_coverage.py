from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from ribs.archives import CVTArchive

from analysis import coverage, style
from archive_store.reading import Run
from qd.measures import MEASURES, Ranges

CENTROIDS = np.arange(20).reshape(4, 5) / 20
ELITES = pd.DataFrame({"cell": [0, 1, 3], "objective": [0.9, 0.2, 0.5]})
ELITES[list(MEASURES)] = CENTROIDS[[0, 1, 3]] + 0.01


def test_empty_cells_are_grey_and_the_best_elite_lies_on_top(axes: Axes) -> None:
    coverage.pair(ELITES, CENTROIDS, axes, MEASURES, MEASURES[1], MEASURES[4])
    empty, filled = axes.collections
    np.testing.assert_array_equal(empty.get_offsets(), CENTROIDS[[2]][:, [1, 4]])
    np.testing.assert_array_equal(filled.get_offsets(), CENTROIDS[[1, 3, 0]][:, [1, 4]])
    np.testing.assert_array_equal(filled.get_array(), [0.2, 0.5, 0.9])
    assert empty.get_zorder() < filled.get_zorder()
    assert axes.get_xlabel().startswith("activation sparsity\n[")
    assert axes.get_ylabel().startswith("compute intensity\n[")


def test_the_behaviour_of_an_elite_is_a_dot_beside_its_centroid(axes: Axes) -> None:
    coverage.pair(ELITES, CENTROIDS, axes, MEASURES, MEASURES[1], MEASURES[4])
    (dots,) = axes.lines
    np.testing.assert_array_equal(dots.get_xydata(), CENTROIDS[[1, 3, 0]][:, [1, 4]] + 0.01)


def test_empty_cells_that_somebody_came_to_are_darker_and_counted(axes: Axes, figure: Figure) -> None:
    centroids = np.concatenate([CENTROIDS, CENTROIDS[:1] + 0.5])
    passed = np.array([True, True, True, True, False])
    coverage.pair(ELITES, centroids, axes, MEASURES, *MEASURES[:2], passed=passed)
    came, nobody = axes.collections[0].get_facecolors()
    assert (to_hex(came), to_hex(nobody)) == (style.GREY.lower(), style.EMPTY.lower())
    key = coverage.key(ELITES, centroids, figure.add_subplot(), passed)
    labels = [text.get_text() for text in key.get_legend().get_texts()]
    assert labels[2:] == ["empty: visitors did not compete (1)", "empty: no component ever came (1)"]


def test_ranges_tick_the_axes_in_raw_units(axes: Axes) -> None:
    ranges = Ranges((0, 1, 0, 0, 2), (1, 3, 1, 1, 4))
    coverage.pair(ELITES, CENTROIDS, axes, MEASURES, MEASURES[1], MEASURES[4], ranges=ranges)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "3", "4"]


def test_all_pairs_of_a_run_share_one_scale(run: Run, figure: Figure) -> None:
    elites, centroids = run.elites(), run.centroids()
    grid = coverage.pairs(elites, centroids, figure.subplots(4, 4), run.measures)
    shown = [panel for panel in grid.ravel() if panel.axison]
    assert len(shown) == 10
    for panel in shown:
        empty, filled = panel.collections
        assert len(filled.get_offsets()) == len(elites)
        assert len(empty.get_offsets()) == len(centroids) - len(elites)
        assert filled.norm.vmin == elites["objective"].min()
        assert filled.norm.vmax == elites["objective"].max()


def test_all_pairs_are_of_the_measures_of_the_run(own: Run, figure: Figure) -> None:
    centroids = own.centroids()
    grid = coverage.pairs(own.elites()[:0], centroids, figure.subplots(4, 4), own.measures)
    labels = [style.label(name) for name in own.measures]
    assert [panel.get_xlabel() for panel in grid[3]] == labels[:4]
    assert [panel.get_ylabel() for panel in grid[:, 0]] == labels[1:]
    assert "written norm" in labels
    for (row, column), panel in np.ndenumerate(grid):
        if column <= row:
            np.testing.assert_array_equal(panel.collections[0].get_offsets(), centroids[:, [column, row + 1]])


def polygons(archive: CVTArchive) -> tuple[list[Any], np.ndarray]:
    """The areas and their colours that pyribs draws by itself, with its own defaults."""
    from ribs.visualize import cvt_archive_heatmap

    axes = Figure().subplots()
    cvt_archive_heatmap(archive, axes, cmap=style.OBJECTIVE_MAP, clip=True)
    (areas,) = axes.collections
    return [path.vertices for path in areas.get_paths()], areas.get_facecolors()


@pytest.mark.parametrize("sized", [2], indirect=True)
def test_the_heatmap_of_two_measures_is_that_of_pyribs(sized: Run, axes: Axes) -> None:
    import matplotlib.pyplot

    archive = sized.archive()
    coverage.heatmap(archive, axes, sized.measures)
    (areas,) = axes.collections
    expected, colours = polygons(archive)
    assert len(areas.get_paths()) == archive.cells == 40
    for path, vertices in zip(areas.get_paths(), expected, strict=True):
        np.testing.assert_array_equal(path.vertices, vertices)
    np.testing.assert_array_equal(areas.get_facecolors(), colours)
    assert (colours[:, 3] > 0).sum() == len(archive)  # only cells with an elite have a colour
    assert matplotlib.pyplot.get_fignums() == []  # no global figure


@pytest.mark.parametrize("sized", [2], indirect=True)
def test_the_heatmap_has_the_units_of_its_two_measures(sized: Run, axes: Axes) -> None:
    coverage.heatmap(sized.archive(), axes, sized.measures, Ranges((0, 2), (1, 4)))
    assert axes.get_xlabel() == style.label("TheMeasureWithTheLongestNameOfThemAll")
    assert axes.get_ylabel() == style.label("attention_span")
    assert (axes.get_xlim(), axes.get_ylim()) == ((0.0, 1.0), (0.0, 1.0))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.0", "0.5", "1.0"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "3", "4"]


def test_an_archive_of_two_measures_without_an_elite_has_a_heatmap(axes: Axes) -> None:
    archive = CVTArchive(solution_dim=(), centroids=CENTROIDS[:, :2], ranges=[(0, 1)] * 2)
    coverage.heatmap(archive, axes, MEASURES[:2])
    assert (axes.collections[0].get_facecolors()[:, 3] == 0).all()
    coverage.key(ELITES[:0], CENTROIDS[:, :2], axes)
    assert any(style.EMPTY_ARCHIVE in text.get_text() for text in axes.texts)


@pytest.mark.parametrize("sized", [3, 8], indirect=True)
def test_there_is_a_panel_for_each_pair_of_measures(sized: Run, figure: Figure) -> None:
    side, centroids = len(sized.measures) - 1, sized.centroids()
    grid = coverage.pairs(sized.elites(), centroids, figure.subplots(side, side), sized.measures)
    for (row, column), panel in np.ndenumerate(grid):
        assert panel.axison == (column <= row)
        if column <= row:
            points = np.concatenate([part.get_offsets() for part in panel.collections])
            expected = centroids[:, [column, row + 1]]
            np.testing.assert_array_equal(points[np.lexsort(points.T)], expected[np.lexsort(expected.T)])


@pytest.mark.parametrize("measures", range(3, 9))
def test_the_key_stands_over_the_diagonal(measures: int) -> None:
    left, bottom, width, height = coverage.corner(measures)
    assert min(left, bottom, width, height) > 0
    assert max(left + width, bottom + height) < 1
    for panel in range(measures - 1):  # one of the diagonal, from the upper left
        right, top = ((panel + 1) / (measures - 1), 1 - panel / (measures - 1))
        assert left > right or bottom > top


def test_grid_of_axes_must_fit(figure: Figure) -> None:
    with pytest.raises(ValueError, match=r"axes must be a 4 by 4 array, .* its shape is \(2, 5\)"):
        coverage.pairs(ELITES, CENTROIDS, figure.subplots(2, 5), MEASURES)


def test_key_counts_the_cells(axes: Axes) -> None:
    coverage.key(ELITES, CENTROIDS, axes)
    assert axes.texts[0].get_text() == "3 of 4 cells hold an elite (75%)"
    assert len(axes.child_axes) == 1  # the colour scale


def test_empty_archive_says_so(axes: Axes) -> None:
    coverage.pair(ELITES[:0], CENTROIDS, axes, MEASURES, *MEASURES[:2])
    assert [len(points.get_offsets()) for points in axes.collections] == [4, 0]
    coverage.key(ELITES[:0], CENTROIDS, axes)
    assert any(style.EMPTY_ARCHIVE in text.get_text() for text in axes.texts)
    assert axes.child_axes == []
