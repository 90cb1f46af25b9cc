"""Adaptive emitters: what strategies are told, when they end, and that what they ask for follows from it."""

import dataclasses
import json

import numpy as np
import pytest
from ribs.emitters.opt import CMAEvolutionStrategy

from qd.canonical import canonical
from qd.emitters.campaigns import GENERATIONS, Campaigns
from qd.emitters.plan import Plan, emissions
from qd.emitters.records import Campaign, Emission, Emitted, Tried
from qd.emitters.strategy import points
from qd.records import read
from qd.seeding import generator
from tests.qd.emitters.test_plan import view

PLAN = Plan(seed=3, emitters=("cma_mae",), children=8, chunk=4, exploration=None)


def brought(emission: Emission, *tried: Tried | None) -> Emitted:
    return Emitted(emission.round, emission.chunk, 4, 4, 0.1, 1.0, (), tried)


def played(
    rounds: int, lag: int = 0, objective=lambda round, place: 0.1 * round, rate: float = 0.5, late: int = 0
):
    """Ask and learn for some rounds, at once or as late as can be; every child lies in the cell of its place."""
    campaigns, asked = Campaigns(lag, rate), {}
    for round in range(1, rounds + 1):
        asked[round] = emissions(PLAN, round, view(9), [], campaigns.ongoing(round))
        seen = round - late
        if seen >= 1:
            campaigns.learn(
                seen,
                asked[seen],
                [
                    brought(each, *(Tried(place, objective(seen, place)) for place in range(4)))
                    for each in asked[seen]
                ],
            )
    return asked


def test_thresholds_rise_by_a_part_of_each_improvement():
    asked = played(4, objective=lambda round, place: 1.0, rate=0.5)
    assert asked[2][0].campaign.improvements == ((1.0,) * 4,)
    assert asked[2][1].campaign.improvements == (
        (0.5,) * 4,
    )  # of the same cells, which the chunk before raised
    assert asked[3][0].campaign.improvements[1] == (0.25,) * 4


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_a_strategy_goes_on_where_its_last_generation_is_known(lag):
    asked = played(9, lag)
    assert asked == played(9, lag, late=lag)  # what is known sooner than it has to be changes nothing
    for round, pair in asked.items():
        for place, each in enumerate(pair):
            generations = (round - 1) // (lag + 1)
            begun = asked[round - generations * (lag + 1)][place]
            assert (each.campaign.round, each.campaign.chunk) == (begun.round, begun.chunk)
            assert len(each.campaign.improvements) == generations
            assert (each.parents, each.children) == (begun.parents, ((0, 1, 2, 3, 4),) * 4)


def test_a_strategy_that_finds_nothing_ends_and_another_begins():
    asked = played(
        3, objective=lambda round, place: 1.0, rate=1.0
    )  # nothing rises above what was found at once
    assert [each.campaign.round for each in asked[2]] == [
        1,
        2,
    ]  # the second chunk found what the first had found
    assert [each.campaign for each in asked[3]] == [Campaign(3, 0), Campaign(3, 1)]
    assert asked[3][0].parents != asked[1][0].parents


def test_children_that_cannot_compete_raise_nothing():
    campaigns = Campaigns(0, 1.0)
    (first, second) = emissions(PLAN, 1, view(9), [], {})
    nothing = brought(first, None, Tried(0, -0.1), None, None)
    campaigns.learn(1, (first, second), [nothing, brought(second, Tried(0, 0.2), None, None, None)])
    assert list(campaigns.ongoing(2)) == [1]
    assert campaigns.ongoing(2)[1].campaign.improvements == ((0.2, None, None, None),)


def test_a_strategy_ends_after_some_generations():
    asked = played(GENERATIONS + 1)
    assert len(asked[GENERATIONS][0].campaign.improvements) == GENERATIONS - 1
    assert asked[GENERATIONS + 1][0].campaign == Campaign(GENERATIONS + 1, 0)


def test_an_order_that_tells_of_generations_is_read_back():
    for each in played(3)[3]:
        assert read(Emission, json.loads(canonical(each))) == each
    tried = brought(played(1)[1][0], Tried(3, 0.25), None, Tried(0, 1.0), None)
    assert read(Emitted, json.loads(canonical(tried))) == tried


@pytest.mark.long
def test_points_are_those_of_pyribs_that_is_told_the_same():
    told = Campaign(2, 1, ((0.3, None, -0.1, 0.5), (None, None, 0.1, 0.2)))
    seed = int(generator(7, 2, "campaign:1").integers(2**63))
    reference = CMAEvolutionStrategy(sigma0=0.2, solution_dim=6, batch_size=4, seed=seed)
    reference.reset(np.zeros(6))
    for order, values in (([3, 0, 2, 1], [0.5, 0.3, -0.1, -9.0]), ([3, 2, 0, 1], [0.2, 0.1, -9.0, -9.0])):
        reference.ask()
        reference.tell(np.array(order), np.array(values), 2)
    np.testing.assert_array_equal(points(told, 4, 6, 0.2, 7), reference.ask())


def test_where_nothing_can_vary_there_is_one_point():
    assert points(Campaign(2, 1, ((0.1, 0.2),)), 3, 0, 0.2, 7).shape == (3, 0)


@pytest.mark.long
def test_points_come_nearer_to_what_was_better():
    """The objective is the distance to a place; nothing else is told."""
    goal, campaign = np.array([0.5, -0.3, 0.2]), Campaign(1, 0)
    for _ in range(GENERATIONS):
        asked = points(campaign, 12, 3, 0.2, 0)
        distances = np.linalg.norm(asked - goal, axis=1)
        campaign = dataclasses.replace(
            campaign, improvements=(*campaign.improvements, tuple((-distances).tolist()))
        )
    assert distances.max() < 0.15
