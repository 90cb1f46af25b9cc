import dataclasses
import math
import statistics

import numpy as np
import pytest

from qd.records import Candidate, ComponentId
from qd.view import View


def elite(slot, objective, lineage=0, born=0):
    founder = ComponentId(0, 0, lineage)
    return Candidate(
        ComponentId(0, born, slot), (), founder, 0, (), f"g{slot}", 3, (0.5,) * 5, (False,) * 5, objective
    )


VIEW = View((1, 4, 5), (elite(3, 0.2), elite(9, 0.9), elite(3, 0.4)), size=10, qd_offset=-1.0)


def test_statistics_by_hand():
    assert VIEW.coverage == 0.3
    assert VIEW.component_coverage == 0.2
    assert VIEW.lineage_coverage == 0.1
    assert VIEW.qd_score == pytest.approx(4.5)
    assert VIEW.normalised_qd_score == pytest.approx(0.45)
    assert VIEW.best == elite(9, 0.9)
    assert VIEW.mean_objective == pytest.approx(statistics.mean([0.2, 0.9, 0.4]))
    assert VIEW.median_objective == 0.4


def test_the_best_of_equals_has_the_lowest_cell():
    assert View((0, 1), (elite(7, 0.5), elite(1, 0.5)), 4).best == elite(7, 0.5)


def test_an_empty_view():
    view = View((), (), 10)
    assert (view.coverage, view.qd_score, view.normalised_qd_score) == (0.0, 0.0, 0.0)
    assert view.best is view.mean_objective is view.median_objective is None
    assert view.objectives.shape == (0,)


def test_the_sum_is_exactly_rounded():
    objectives = [0.1] * 10
    view = View(tuple(range(10)), tuple(elite(slot, value) for slot, value in enumerate(objectives)), 10)
    assert view.qd_score == math.fsum(objectives) == 1.0
    assert sum(objectives) != 1.0


def test_a_view_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        VIEW.cells = ()
    with pytest.raises(ValueError, match="read-only"):
        VIEW.objectives[0] = 1.0


def test_samples_follow_the_weights():
    drawn = VIEW.sample([1.0, 0.0, 3.0], np.random.default_rng(0), 4000)
    assert len(drawn) == 4000
    assert elite(9, 0.9) not in drawn
    assert abs(drawn.count(elite(3, 0.4)) / 4000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 4000)
    assert drawn == VIEW.sample([1.0, 0.0, 3.0], np.random.default_rng(0), 4000)


def test_samples_of_one_elite_and_none():
    assert VIEW.sample([0.0, 0.0, 1e-300], np.random.default_rng(0), 3) == (elite(3, 0.4),) * 3
    assert VIEW.sample([1.0, 1.0, 1.0], np.random.default_rng(0), 0) == ()


def test_a_draw_of_0_takes_no_elite_of_weight_0():
    class Zeros:
        def random(self, n):
            return np.zeros(n)

    assert VIEW.sample([0.0, 1.0, 1.0], Zeros(), 1) == (elite(9, 0.9),)


@pytest.mark.parametrize(
    "weights", [[0.0, 0.0, 0.0], [1.0, -1.0, 1.0], [1.0, math.nan, 1.0], [math.inf, 1.0, 1.0]]
)
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite, 0 or above, and not all 0"):
        VIEW.sample(weights, np.random.default_rng(0), 1)


def test_other_refusals():
    with pytest.raises(ValueError, match=r"weights must be one per elite, \[3\], got shape \(2,\)"):
        VIEW.sample([1.0, 1.0], np.random.default_rng(0), 1)
    with pytest.raises(ValueError, match="an empty view has nothing to draw"):
        View((), (), 10).sample([], np.random.default_rng(0), 1)
    with pytest.raises(ValueError, match="a view needs one elite per cell, got 1 for 2 cells"):
        View((1, 2), (elite(1, 0.5),), 10)
    for cells in [(2, 1), (1, 1), (-1, 1), (1, 10)]:
        with pytest.raises(ValueError, match=r"the cells of a view must ascend within 0\.\.9"):
            View(cells, (elite(1, 0.5), elite(2, 0.5)), 10)
