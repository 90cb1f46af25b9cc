import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import softmax

from qd.chemotaxis.apart import apart
from qd.chemotaxis.hunger import hunger
from qd.chemotaxis.rule import attraction, probabilities
from qd.records import Candidate, ComponentId
from qd.seeding import generator
from qd.view import View

SIZE = 9
LINE = np.array([sorted({cell - 1, cell + 1} & set(range(SIZE))) for cell in range(1, SIZE - 1)])
NEIGHBOURS = np.array([[1, 2], *LINE.tolist(), [SIZE - 2, SIZE - 3]])


def elite(cell, objective, depth=0):
    identity = ComponentId(0, 0, cell)
    return Candidate(identity, (), identity, depth, (), "g", 1, (0.5,) * 5, (False,) * 5, objective)


def view(objectives, depths=None):
    cells = tuple(sorted(objectives))
    return View(cells, tuple(elite(c, objectives[c], (depths or {}).get(c, 0)) for c in cells), SIZE)


VIEWS = st.dictionaries(st.integers(0, SIZE - 1), st.floats(0, 1), min_size=1).map(view)


@given(VIEWS, st.floats(0, 1), st.floats(0.01, 10))
def test_probabilities_are_the_softmax_of_a_formula(sight, hungry, tau):
    expected = []
    for cell, item in zip(sight.cells, sight.elites, strict=True):
        empty = [neighbour not in sight.cells for neighbour in NEIGHBOURS[cell].tolist()]
        expected.append(hungry * sum(empty) / len(empty) + (1 - hungry) * item.objective)
    np.testing.assert_allclose(attraction(sight, NEIGHBOURS, hungry), expected, atol=1e-15)
    found = probabilities(sight, NEIGHBOURS, hungry, tau)
    np.testing.assert_allclose(found, softmax(np.array(expected) / tau), rtol=1e-9, atol=1e-300)


def test_the_sated_take_the_best_and_the_hungry_the_frontier():
    sight = view({0: 0.2, 1: 0.9, 2: 0.3, 6: 0.1})
    assert sight.cells[probabilities(sight, NEIGHBOURS, 0.0, 0.1).argmax()] == 1
    assert sight.cells[probabilities(sight, NEIGHBOURS, 1.0, 0.1).argmax()] == 6


def test_samples_come_at_the_rate_of_the_probabilities():
    sight = view({0: 0.2, 1: 0.9, 2: 0.3, 6: 0.1})
    chances = probabilities(sight, NEIGHBOURS, 0.5, 0.3)
    draws = [apart(sight, NEIGHBOURS, chances, generator(0, step, "birth"), 1)[0] for step in range(2000)]
    for item, chance in zip(sight.elites, chances, strict=True):
        assert abs(draws.count(item) / 2000 - chance) < 4 * math.sqrt(chance * (1 - chance) / 2000)


def test_only_elites_of_the_depth_are_parents():
    sight = view({0: 0.2, 1: 0.9, 2: 0.3}, {0: 1, 2: 1})
    found = probabilities(sight, NEIGHBOURS, 0.0, 0.1, depth=1)
    np.testing.assert_allclose(found, softmax([2.0, -math.inf, 3.0]))
    assert not probabilities(sight, NEIGHBOURS, 0.0, 0.1, depth=2).any()


def test_an_empty_view_has_no_parent():
    nothing = View((), (), SIZE)
    chances = probabilities(nothing, NEIGHBOURS, 0.5, 0.1)
    assert apart(nothing, NEIGHBOURS, chances, generator(0, 0, ""), 1) == ()


def test_a_tiny_tau_does_not_overflow():
    sight = view({0: 0.0, 1: 1.0})
    assert probabilities(sight, NEIGHBOURS, 0.0, 1e-300).tolist() == [0.0, 1.0]


@given(st.lists(st.floats(), max_size=9), st.integers(1, 6))
def test_hunger_is_a_share_and_forgets_what_is_past_the_window(losses, window):
    assert 0 <= hunger(losses, window) <= 1
    assert hunger([5.0, *losses], window) == hunger(losses, window) or len(losses) <= window


@pytest.mark.parametrize(
    ("losses", "window", "expected"),
    [
        ([], 5, 1.0),
        ([2.0], 5, 1.0),
        ([2.0, 1.5], 5, 0.75),
        ([9.0, 2.0, 1.9, 1.8, 1.7, 1.6, 0.5], 5, 0.25),
        ([1.0, 1.2], 1, 1.0),
        ([1.0, -0.5], 1, 0.0),
        ([0.0, 0.0], 1, 1.0),
        ([1.0, math.nan], 1, 1.0),
        ([math.inf, 1.0], 1, 1.0),
    ],
)
def test_hunger_values(losses, window, expected):
    assert hunger(losses, window) == pytest.approx(expected)


@given(VIEWS, st.floats(0, 1), st.lists(st.tuples(*[st.floats(0, 1)] * 5), min_size=1, max_size=4))
def test_distance_to_ones_own_is_half_of_what_is_strange(sight, hungry, own):
    elites = [replace(one, behaviour=(one.component.slot / SIZE,) * 5) for one in sight.elites]
    sight = View(sight.cells, tuple(elites), SIZE)
    far = cdist([one.behaviour for one in elites], own).min(axis=1)
    empty = [np.mean([n not in sight.cells for n in NEIGHBOURS[cell].tolist()]) for cell in sight.cells]
    strange = (np.array(empty) + far / (far.max() or 1.0)) / 2
    expected = hungry * strange + (1 - hungry) * sight.objectives
    np.testing.assert_allclose(attraction(sight, NEIGHBOURS, hungry, np.array(own)), expected, atol=1e-12)
    nobody = np.zeros((0, 5))
    assert (attraction(sight, NEIGHBOURS, hungry, nobody) == attraction(sight, NEIGHBOURS, hungry)).all()


@given(VIEWS, st.integers(1, 12), st.integers(0, 9))
def test_draws_apart_are_different_and_leave_a_neighbourhood_only_when_nothing_else_is_left(
    sight, count, seed
):
    chances = probabilities(sight, NEIGHBOURS, 0.5, 0.3)
    cells = [one.component.slot for one in apart(sight, NEIGHBOURS, chances, generator(0, seed, ""), count)]
    assert len(set(cells)) == len(cells) == min(count, len(sight.cells))
    shut = set()
    for cell in cells:
        open_ = set(sight.cells) - set(cells[: cells.index(cell)]) - shut
        if not open_:
            shut = set()
        assert cell not in shut
        shut |= set(NEIGHBOURS[cell].tolist())


def test_draws_apart_leave_out_what_has_no_chance():
    sight = view({0: 0.2, 1: 0.9, 2: 0.3}, {0: 1, 2: 1})
    chances = probabilities(sight, NEIGHBOURS, 0.0, 0.1, depth=1)
    found = apart(sight, NEIGHBOURS, chances, generator(0, 0, ""), 3)
    assert sorted(one.component.slot for one in found) == [0, 2]
    assert apart(sight, NEIGHBOURS, np.zeros(3), generator(0, 0, ""), 3) == ()


def test_refusals():
    sight = view({0: 0.2})
    with pytest.raises(ValueError, match="window must be 1 round or more, got 0"):
        hunger([1.0, 1.0], 0)
    with pytest.raises(ValueError, match=r"hunger must be in \[0, 1\], got 1\.5"):
        attraction(sight, NEIGHBOURS, 1.5)
    with pytest.raises(ValueError, match="neighbours must have one row for each of the 9 cells, got 3"):
        attraction(sight, NEIGHBOURS[:3], 0.5)
    for tau in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tau must be finite and above 0"):
            probabilities(sight, NEIGHBOURS, 0.5, tau)
