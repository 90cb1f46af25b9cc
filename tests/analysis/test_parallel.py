import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from analysis import parallel, style
from archive_store.reading import Run
from qd.measures import MEASURES, Ranges


def test_each_elite_is_a_line_through_its_behaviour(run: Run, axes: Axes) -> None:
    import matplotlib.pyplot

    elites = run.elites()
    parallel.parallel(elites, run.archive(), axes, run.measures)
    ranked = elites.sort_values(["objective", "cell"])
    drawn = np.array([line.get_ydata() for line in axes.lines])
    np.testing.assert_allclose(drawn, ranked[list(MEASURES)], atol=1e-6)
    assert to_hex(axes.lines[-1].get_color()) == to_hex(style.OBJECTIVE_MAP(1.0))  # the best on top
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [style.label(name) for name in MEASURES]
    assert matplotlib.pyplot.get_fignums() == []  # no global figure


def test_measures_of_ones_own_have_their_axes(own: Run, axes: Axes) -> None:
    elites = own.elites()
    parallel.parallel(elites, own.archive(), axes, own.measures)
    ranked = elites.sort_values(["objective", "cell"])
    drawn = np.array([line.get_ydata() for line in axes.lines])
    np.testing.assert_allclose(drawn, ranked[list(own.measures)], atol=1e-6)
    assert axes.get_xticklabels()[1].get_text() == "written norm"


def test_every_measure_of_any_number_has_an_axis(sized: Run, axes: Axes) -> None:
    elites = sized.elites()
    parallel.parallel(elites, sized.archive(), axes, sized.measures)
    ranked = elites.sort_values(["objective", "cell"])
    drawn = np.array([line.get_ydata() for line in axes.lines])
    np.testing.assert_allclose(drawn, ranked[list(sized.measures)], atol=1e-6)
    width = style.label_width(len(sized.measures))
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == [style.label(name, width) for name in sized.measures]
    assert all(len(line) <= width for text in labels for line in text.split("\n"))


def test_axes_are_ticked_in_raw_units(run: Run, axes: Axes) -> None:
    ranges = Ranges((0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
    parallel.parallel(run.elites(), run.archive(), axes, run.measures, ranges)
    panels = axes.figure.axes[: len(MEASURES)]
    bottoms = [panel.get_yticklabels()[0].get_text() for panel in panels]
    assert bottoms == ["0", "1", "2", "3", "4"]


def test_one_elite_is_enough(run: Run, axes: Axes) -> None:
    parallel.parallel(run.elites()[:1], run.archive(), axes, run.measures)
    assert len(axes.lines) == 1


def test_empty_archive_says_so(run: Run, axes: Axes) -> None:
    parallel.parallel(run.elites()[:0], run.archive(), axes, run.measures)
    assert [text.get_text() for text in axes.texts] == [style.EMPTY_SO_LOOK]
