import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import zmap
from sklearn.neighbors import NearestNeighbors

from qd.lifecycle.comonad import Coherence, RelativeFitness, SpatialContext, around, together

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
def test_extractors_say_of_all_at_once_what_they_say_of_each(behaviours, k, data):
    n = len(behaviours)
    fitness = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    patterns = np.random.default_rng(n).normal(size=(n, 2, 3)) * np.array(fitness).round()[:, None, None]
    for extractor in (RelativeFitness(fitness.__getitem__, k), Coherence(patterns.__getitem__, k)):
        single = [extractor(around(range(n), focus, behaviours)) for focus in range(n)]
        whole = around(range(n), n - 1, behaviours).extend(extractor)
        np.testing.assert_allclose(whole.items, single, atol=1e-9)
        plain = around(range(n), n - 1, behaviours).extend(lambda context, one=extractor: one(context))
        assert (whole.focus, whole.places, plain.items) == (plain.focus, plain.places, tuple(single))


def everywhere(behaviours, fitness, k=5):
    return list(around(fitness, 0, behaviours).extend(RelativeFitness(float, k)).items)


def test_relative_fitness_is_a_z_score_where_neighbours_differ():
    rng = np.random.default_rng(1)
    behaviours, fitness = rng.random((12, 5)), rng.random(12)
    nearest = cdist(behaviours, behaviours).argsort(axis=1)[:, 1:6]
    expected = [zmap(own, fitness[row]).item() for own, row in zip(fitness, nearest, strict=True)]
    assert fitness[nearest].std(axis=1).min() > 0.05
    np.testing.assert_allclose(everywhere(behaviours, fitness.tolist()), expected)


def test_relative_fitness_keeps_its_bits():
    """Those of what was computed before it was an extractor, so that journals of deaths still follow."""
    rng = np.random.default_rng(2)
    behaviours, fitness = rng.random((9, 5)), rng.random(9)
    squares = np.zeros((9, 9))
    for column in behaviours.T:
        squares += (column[:, None] - column[None, :]) ** 2
    distances = np.sqrt(squares)
    np.fill_diagonal(distances, np.inf)
    others = fitness[np.argsort(distances, axis=1, kind="stable")[:, :4]]
    expected = (fitness - others.mean(axis=1)) / np.maximum(others.std(axis=1), 0.05)
    assert everywhere(behaviours, fitness.tolist(), 4) == expected.tolist()


def test_relative_fitness_floors_the_deviation_and_is_0_alone():
    assert RelativeFitness(float)(around([0.3, 0.2, 0.2], 0, np.eye(3))) == pytest.approx(0.1 / 0.05)
    assert RelativeFitness(float)(around([0.3], 0, [[0.0]])) == 0.0
    assert everywhere([[0.0]], [0.3]) == [0.0]


def test_coherence_is_a_mean_cosine():
    rng = np.random.default_rng(3)
    behaviours, patterns = rng.random((8, 2)), rng.normal(size=(8, 4, 4))
    flat = patterns.reshape(8, 16)
    nearest = cdist(behaviours, behaviours).argsort(axis=1)[:, 1:4]
    cosines = 1 - cdist(flat, flat, "cosine")
    found = around(range(8), 0, behaviours).extend(Coherence(patterns.__getitem__, 3)).items
    np.testing.assert_allclose(found, [cosines[i, row].mean() for i, row in enumerate(nearest)])


def test_coherence_alone_or_with_a_pattern_of_zeros_is_0():
    assert Coherence(np.asarray)(together([np.ones(3)])) == 0.0
    assert together([np.ones(3)]).extend(Coherence(np.asarray)).items == (0.0,)
    assert Coherence(np.asarray)(together([np.ones(3), np.zeros(3)])) == 0.0


def test_together_all_are_equally_near_and_go_by_position():
    assert together("abcd", 2).k_nearest(2) == ("a", "b")
    assert together("abcd", 0).k_nearest(9) == ("b", "c", "d")


def test_refusals():
    with pytest.raises(ValueError, match=r"focus must be a position in 0\.\.1, got 2"):
        around("ab", 2, [[0.0], [1.0]])
    for among in (around("ab", 0, [[0.0], [1.0]]), together("ab")):
        with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
            among.k_nearest(-1)
        with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
            among.extend(RelativeFitness(len, -1))
    for behaviours in ([[0.0]], [[0.0], [math.nan]], [[0.0], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="places must be finite and one for each of 2 items"):
            SpatialContext(("a", "b"), 0, tuple(map(tuple, behaviours)))
