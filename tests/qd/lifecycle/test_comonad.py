import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import percentileofscore, zmap
from sklearn.neighbors import NearestNeighbors

from qd.lifecycle.comonad import (
    SpatialContext,
    around,
    behavioural_divergence,
    coherence,
    gradient_rank,
    relative_fitness,
    relative_fitness_all,
)

# Behaviours on a coarse grid, so that distances tie.
BEHAVIOURS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 5), min_size=1, max_size=9)


@st.composite
def contexts(draw):
    behaviours = draw(BEHAVIOURS)
    items = draw(st.lists(st.integers(-9, 9), min_size=len(behaviours), max_size=len(behaviours)))
    return around(items, draw(st.integers(0, len(items) - 1)), behaviours)


def total_nearby(context):
    return sum(context.k_nearest(2)) - context.extract()


def largest_nearby(context):
    return max(context.k_nearest(3), default=0) * 2 + context.extract()


def fmap(function, context):
    return context.extend(lambda inner: function(inner.extract()))


@given(contexts())
def test_left_identity(context):
    assert context.extend(SpatialContext.extract) == context


@given(contexts())
def test_right_identity(context):
    assert context.extend(total_nearby).extract() == total_nearby(context)


@given(contexts())
def test_associativity(context):
    stepwise = context.extend(total_nearby).extend(largest_nearby)
    assert stepwise == context.extend(lambda inner: largest_nearby(inner.extend(total_nearby)))


@given(contexts())
def test_laws_of_duplicate(context):
    assert context.duplicate().extract() == context
    assert fmap(SpatialContext.extract, context.duplicate()) == context
    assert context.duplicate().duplicate() == fmap(SpatialContext.duplicate, context.duplicate())


@given(contexts())
def test_extend_is_duplicate_then_map(context):
    assert context.extend(total_nearby) == fmap(total_nearby, context.duplicate())


def test_nearest_agree_with_scikit_learn():
    points = np.random.default_rng(0).random((30, 5))
    expected = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points, return_distance=False)[:, 1:]
    for focus in range(30):
        assert around(range(30), focus, points).k_nearest(5) == tuple(expected[focus].tolist())


def test_ties_go_by_position_and_few_items_give_few_neighbours():
    context = around("abcd", 1, [[0.0], [0.5], [1.0], [0.4]])
    assert context.k_nearest(9) == ("d", "a", "c")
    assert context.k_nearest(0) == ()


@given(BEHAVIOURS, st.integers(0, 6), st.data())
def test_relative_fitness_of_all_at_once_agrees(behaviours, k, data):
    n = len(behaviours)
    fitness = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    single = [relative_fitness(around(fitness, focus, behaviours), float, k) for focus in range(n)]
    np.testing.assert_allclose(relative_fitness_all(behaviours, fitness, k), single, atol=1e-9)


def test_relative_fitness_is_a_z_score_where_neighbours_differ():
    rng = np.random.default_rng(1)
    behaviours, fitness = rng.random((12, 5)), rng.random(12)
    nearest = cdist(behaviours, behaviours).argsort(axis=1)[:, 1:6]
    expected = [zmap(own, fitness[row]).item() for own, row in zip(fitness, nearest, strict=True)]
    assert fitness[nearest].std(axis=1).min() > 0.05
    np.testing.assert_allclose(relative_fitness_all(behaviours, fitness, 5), expected)


def test_relative_fitness_floors_the_deviation_and_is_0_alone():
    assert relative_fitness(around([0.3, 0.2, 0.2], 0, np.eye(3)), float) == pytest.approx(0.1 / 0.05)
    assert relative_fitness(around([0.3], 0, [[0.0]]), float) == 0.0
    assert relative_fitness_all([[0.0]], [0.3]).tolist() == [0.0]
    assert relative_fitness_all(np.zeros((0, 5)), []).shape == (0,)


def test_divergence_points_away_from_the_neighbours():
    behaviours = np.array([[0.5, 0.5], [0.4, 0.5], [0.4, 0.7], [0.0, 1.0]])
    context = around(range(4), 0, behaviours)
    np.testing.assert_allclose(behavioural_divergence(context, lambda i: behaviours[i], 2), [0.1, -0.1])
    np.testing.assert_array_equal(behavioural_divergence(context, lambda i: behaviours[i], 0), [0.0, 0.0])


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=2, max_size=8))
def test_gradient_rank_is_scipy_s_mean_percentile(gradients):
    behaviours = np.arange(len(gradients))[:, None] / 10
    context = around(gradients, 0, behaviours)
    expected = percentileofscore(gradients[1:6], gradients[0], kind="mean") / 100
    assert gradient_rank(context, float) == pytest.approx(expected)


def test_gradient_rank_alone_is_the_middle():
    assert gradient_rank(around([3.0], 0, [[0.0]]), float) == 0.5


def test_coherence_is_the_mean_cosine():
    angles = np.array([0.0, math.pi / 3, math.pi / 2, math.pi])
    patterns = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    context = around(patterns.tolist(), 0, angles[:, None] / 4)
    assert coherence(context, lambda pattern: pattern, 2) == pytest.approx(0.25)
    assert coherence(context, lambda pattern: pattern, 3) == pytest.approx(-0.5 / 3)
    assert coherence(context, np.zeros_like) == 0.0
    assert coherence(context, lambda pattern: pattern, 0) == 0.0


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), min_size=2, max_size=5))
def test_coherence_is_bounded(patterns):
    context = around(patterns, 0, np.zeros((len(patterns), 5)))
    assert -1 <= coherence(context, lambda pattern: np.reshape(pattern, (2, 2))) <= 1


def test_refusals():
    with pytest.raises(ValueError, match=r"focus must be a position in 0\.\.1, got 2"):
        around("ab", 2, [[0.0], [1.0]])
    with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
        around("ab", 0, [[0.0], [1.0]]).k_nearest(-1)
    with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
        relative_fitness_all([[0.0], [1.0]], [0.1, 0.2], -1)
    with pytest.raises(ValueError, match=r"behaviours must be finite and \[2, measures\]"):
        around("ab", 0, [[0.0]])
    with pytest.raises(ValueError, match=r"behaviours must be finite and \[2, measures\]"):
        relative_fitness_all([[0.0], [math.nan]], [0.1, 0.2])
