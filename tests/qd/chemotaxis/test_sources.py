import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import softmax

from qd.chemotaxis.sources import Chemotaxis, exhausted, metabolic_rate
from qd.seeding import generator

SHARES = st.floats(0, 1)
PLACES = st.tuples(SHARES, SHARES, SHARES)


def field(food=(), scents=(), tau=0.2):
    chemotaxis = Chemotaxis(tau)
    for number, (place, concentration) in enumerate(food):
        chemotaxis.add_source(f"food {number}", place, concentration)
    for place, concentration in scents:
        chemotaxis.add_source(None, place, concentration)
    return chemotaxis


LOTS = st.lists(st.tuples(PLACES, st.floats(0, 3)), min_size=1, max_size=6)


@given(
    LOTS,
    st.lists(st.tuples(PLACES, st.floats(0, 3)), max_size=3),
    st.lists(PLACES, min_size=1, max_size=4),
    SHARES,
    SHARES,
)
def test_probabilities_are_the_softmax_of_the_equation(food, scents, own, rate, hunger):
    places = [place for place, _ in food]
    way = cdist(places, own).min(axis=1) / math.sqrt(3)
    pull = np.array([amount for _, amount in food]) - rate * (1 - hunger) * way
    for place, amount in scents:
        pull += amount * np.exp(-cdist(places, [place])[:, 0] / math.sqrt(3) / 0.1)
    found = field(food, scents).probabilities(own, rate, hunger)
    np.testing.assert_allclose(found, softmax(pull / 0.2), rtol=1e-9, atol=1e-12)


NEAR_AND_FAR = [((0.1, 0.1), 0.5), ((0.9, 0.9), 0.5)]


def test_who_costs_much_stays_near_and_the_hungry_do_not_mind_the_way():
    around = field(NEAR_AND_FAR)
    costly, cheap = (around.probabilities([0.0, 0.0], rate, 0.0)[0] for rate in (1.0, 0.2))
    assert costly > cheap > 0.5
    assert around.probabilities([0.0, 0.0], 1.0, 1.0).tolist() == [0.5, 0.5]


def test_distance_is_euclidean_and_that_of_the_nearest_of_ones_own():
    around = field([((0.5, 0.5), 0.5), ((0.9, 0.5), 0.5), ((0.5, 0.1), 0.5)])
    found = around.probabilities([[0.9, 0.1], [0.5, 0.5]], 1.0, 0.0)
    assert found[0] > found[1] == pytest.approx(found[2])


def test_a_scent_attracts_to_what_is_near_it_and_is_never_drawn():
    with_scent = field(NEAR_AND_FAR, [((0.9, 0.8), 1.0)])
    assert with_scent.probabilities(None, 0.5, 0.5)[1] > 0.9
    drawn = {with_scent.sample(None, 0.5, 0.5, generator(0, step, "s")) for step in range(200)}
    assert drawn == {"food 0", "food 1"}


def test_samples_come_at_the_rate_of_the_probabilities_and_from_the_named_stream():
    around = field([((0.1, 0.2), 0.1), ((0.3, 0.2), 0.4), ((0.8, 0.9), 0.3)])
    draws = [around.sample([0.2, 0.2], 0.6, 0.4, generator(0, step, "birth")) for step in range(2000)]
    for name, chance in zip(around.nutrients, around.probabilities([0.2, 0.2], 0.6, 0.4), strict=True):
        assert abs(draws.count(name) / 2000 - chance) < 4 * math.sqrt(chance * (1 - chance) / 2000)
    again = [around.sample([0.2, 0.2], 0.6, 0.4, generator(0, step, "birth")) for step in range(9)]
    assert again == draws[:9]


def test_where_nothing_can_be_taken_nothing_is_drawn():
    around = field(NEAR_AND_FAR, [((0.9, 0.8), 1.0)])
    around.clear()
    assert (around.sources, around.sample(None, 0.0, 0.0, generator(0, 0, ""))) == ([], None)
    assert field((), [((0.9, 0.8), 1.0)]).sample([0.1, 0.1], 0.0, 0.0, generator(0, 0, "")) is None


def test_a_place_is_half_exhausted_after_as_many_tries_as_there_is_patience():
    assert [exhausted(0.6, tries, 8) for tries in (0, 8, 24)] == [0.6, 0.3, 0.15]


def test_the_metabolic_rate_is_the_mean_cost_as_a_share_of_the_largest():
    assert metabolic_rate([1e3, 3e3], 8e3) == 0.25
    assert [metabolic_rate([9.0], 3.0), metabolic_rate([], 3.0)] == [1.0, 0.0]


def test_refusals():
    around = field(NEAR_AND_FAR)
    for place in ((0.1,), (0.1, 1.2), (0.1, math.nan)):
        with pytest.raises(ValueError, match=r"location must be 2 numbers in \[0, 1\], got"):
            around.add_source("x", place, 0.5)
    for amount in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="concentration must be finite and 0 or more, got"):
            around.add_source("x", (0.1, 0.1), amount)
    assert len(around.sources) == 2
    with pytest.raises(ValueError, match="location must be some numbers"):
        field([((), 0.5)])
    with pytest.raises(ValueError, match=r"metabolic_rate must be in \[0, 1\], got -1"):
        around.probabilities(None, -1, 0.5)
    with pytest.raises(ValueError, match=r"hunger must be in \[0, 1\], got 2"):
        around.probabilities(None, 1, 2)
    for own in ([0.1, 0.1, 0.1], [[0.1, math.nan]]):
        with pytest.raises(ValueError, match="behavior must be points of 2 finite numbers, got"):
            around.probabilities(own, 1, 0.5)
    with pytest.raises(ValueError, match="tau must be finite and above 0"):
        field(NEAR_AND_FAR, tau=0.0).probabilities(None, 0, 0)
