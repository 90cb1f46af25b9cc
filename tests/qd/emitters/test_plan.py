import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from qd.canonical import canonical
from qd.emitters.kinds import DEFAULT, kind_of
from qd.emitters.plan import Plan, child_id, emissions
from qd.emitters.records import Emission
from qd.emitters.shares import Success
from qd.records import Candidate, ComponentId, read
from qd.view import View

PLAN = Plan(seed=3, emitters=DEFAULT, children=20, chunk=6, exploration=0.3)


def elite(number: int, depth: int = 0) -> Candidate:
    name = ComponentId(number, 1, 0)
    return Candidate(name, (), name, depth, (), f"{number:064x}", 2, (0.5, 0.5), (False, False), 0.1 * number)


def view(count: int, layers: int = 1) -> View:
    return View(tuple(range(count)), tuple(elite(number, number % layers) for number in range(count)), 32)


def test_an_empty_archive_or_no_children_mean_no_emissions():
    assert emissions(PLAN, 3, view(0), [], {}) == ()
    assert emissions(dataclasses.replace(PLAN, children=0), 3, view(4), [], {}) == ()


@given(st.integers(1, 20), st.integers(1, 3), st.integers(0, 70), st.integers(1, 9), st.integers(2, 50))
def test_children_are_as_many_as_asked_for_and_of_elites_of_one_layer(count, layers, children, chunk, round):
    plan = dataclasses.replace(PLAN, children=children, chunk=chunk)
    seen = view(count, layers)
    asked = emissions(plan, round, seen, [], {})
    assert asked == emissions(plan, round, seen, [], {})
    assert sum(len(each.children) for each in asked) == children
    assert [each.chunk for each in asked] == list(range(len(asked)))
    assert all(len(each.children) <= chunk for each in asked)
    for each in asked:
        assert len({parent.genome for parent in each.parents}) == len(each.parents)
        for drawn in each.children:
            parents = [each.parents[one] for one in drawn]
            same_layer = sum(one.depth == parents[0].depth for one in seen.elites)
            assert len(parents) == min(kind_of(each.emitter).parents, same_layer)
            assert len({parent.genome for parent in parents}) == len(parents)
            assert len({parent.depth for parent in parents}) == 1


def test_every_elite_is_equally_likely_to_be_a_parent():
    plan = dataclasses.replace(PLAN, emitters=("gaussian",), children=4000, chunk=4000)
    (asked,) = emissions(plan, 3, view(8), [], {})
    drawn = [asked.parents[one].component.organism for (one,) in asked.children]
    assert all(abs(drawn.count(number) - 500) < 90 for number in range(8))  # over four standard deviations


def test_turns_are_taken_over_rounds_where_there_is_no_bandit():
    plan = dataclasses.replace(PLAN, exploration=None, children=6, chunk=2, emitters=("gene", "gaussian"))
    names = [each.emitter for round in (3, 4) for each in emissions(plan, round, view(3), [], {})]
    assert names in (["gene", "gaussian"] * 3, ["gaussian", "gene"] * 3)


def test_past_success_decides_and_nothing_else_does():
    past = [Success("gene", 1.0, 5.0)] + [Success(name, 1.0, 0.1) for name in DEFAULT if name != "gene"]
    plan = dataclasses.replace(PLAN, exploration=0.0, children=48)
    assert [each.emitter for each in emissions(plan, 3, view(5), past, {})].count("gene") == 8


def test_an_emission_is_read_back_from_the_journal():
    for each in emissions(PLAN, 3, view(5), [], {}):
        assert read(Emission, json.loads(canonical(each))) == each


def test_names_of_children_follow_those_of_organisms():
    (first, second, *_) = emissions(PLAN, 3, view(5), [], {})
    assert child_id(8, first, 2) == ComponentId(8, 3, 2)
    assert child_id(8, second, 0) == ComponentId(9, 3, 0)
