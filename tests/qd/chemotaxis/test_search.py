from dataclasses import replace

import numpy as np
import pytest

from qd.chemotaxis import rule
from qd.chemotaxis.apart import apart
from qd.chemotaxis.search import Scent, Search, Seeker, chances, sources
from qd.chemotaxis.tries import held, tried
from qd.lifecycle.quarantine import reseed
from qd.records import ComponentId
from qd.seeding import generator
from tests.qd.lifecycle_cases import CULL, NEIGHBOURS, RULES, WHOLE, census, decided, pool

OWN = np.full((3, 5), 0.5)
SEEKER = Seeker(0, 0.3, OWN, 0.8)
OF_LAYER = np.array([elite.depth == 0 for elite in WHOLE.elites])
UNIFORM, SOURCES = Search("uniform"), Search("sources", largest_flops=2e3)


def found(search, view=WHOLE, seeker=SEEKER):
    return chances(search, 0.2, view, NEIGHBOURS, seeker)


def test_the_rule_is_the_default_and_keeps_its_bits():
    expected = rule.probabilities(WHOLE, NEIGHBOURS, 0.3, 0.2, 0, OWN)
    assert found(RULES.search).tolist() == found(Search()).tolist() == expected.tolist()


def test_uniform_has_all_elites_of_the_layer_alike():
    np.testing.assert_allclose(found(UNIFORM), OF_LAYER / OF_LAYER.sum())
    assert not found(UNIFORM, seeker=Seeker(5, 0.3)).any()


def test_sources_are_the_elites_of_the_layer_by_their_objectives():
    field = sources(SOURCES, 0.2, WHOLE, 0)
    assert field.nutrients == [elite for elite in WHOLE.elites if elite.depth == 0]
    assert [source.concentration for source in field.sources] == WHOLE.objectives[OF_LAYER].tolist()
    expected = np.zeros(len(OF_LAYER))
    expected[OF_LAYER] = field.probabilities(OWN, 0.8, 0.3)
    assert found(SOURCES).tolist() == expected.tolist()
    assert not found(SOURCES, seeker=Seeker(5, 0.3)).any()


def test_an_elite_that_births_have_tried_attracts_less():
    tries = [0] * len(WHOLE.elites)
    tries[4] = 16
    eaten = replace(WHOLE, tries=tuple(tries))
    assert sources(SOURCES, 0.2, eaten, 0).sources[2].concentration == WHOLE.objectives[4] / 3
    assert found(SOURCES, eaten)[4] < found(SOURCES)[4]
    assert found(Search(), eaten).tolist() == found(Search()).tolist()


def test_a_users_scent_draws_births_near_it():
    near = replace(SOURCES, scents=(Scent((2 / 12,) * 5, 2.0),))
    assert found(near)[2] > 0.9 > found(SOURCES)[2]


def drawn(search, seeker, context, count=1):
    found_ = chances(search, RULES.tau, WHOLE, NEIGHBOURS, seeker)
    return [elite.component for elite in apart(WHOLE, NEIGHBOURS, found_, generator(5, CULL, context), count)]


@pytest.mark.parametrize("search", [UNIFORM, SOURCES])
def test_births_search_by_it_from_where_the_organism_is_at_its_cost_and_hunger(search):
    rules = replace(RULES, min_alive=6, search=search, line_share=0.0)
    for organism in range(40):
        own = [replace(each, component=ComponentId(organism, 1, each.component.slot)) for each in pool(3, 3)]
        past = [census(own, validation=4.0)]
        order = decided(own, rules=rules, organism=organism, past=past, validation=0.4)
        seeker = Seeker(0, 0.1, OWN, 0.5)  # their cost is half the largest
        (birth,) = order.births
        assert order.hunger == pytest.approx(seeker.hunger)
        found_ = [proposal.parents[0] for proposal in birth.proposals]
        assert found_ == drawn(search, seeker, f"parent:{organism}:3", 3)
    free, costly = (found(SOURCES, seeker=Seeker(0, 0.1, OWN, rate)) for rate in (0.0, 0.5))
    assert abs(free - costly).max() > 0.01


@pytest.mark.parametrize("search", [UNIFORM, SOURCES])
def test_a_reseed_searches_by_it_from_nowhere(search):
    rules = replace(RULES, search=search)
    births = reseed(rules, CULL, 0, 0.5, 0.3, WHOLE, NEIGHBOURS)
    assert [birth.parents[0] for birth in births] == [
        drawn(search, Seeker(birth.slot // 6, 0.3), f"reseed:0:{birth.slot}")[0] for birth in births
    ]


def test_tries_count_the_candidates_of_births_that_may_happen():
    decision = decided(pool(3, 3), rules=replace(RULES, min_alive=6))
    (birth,) = decision.births
    both = (replace(birth, happens=True), replace(birth, happens=False))
    counts = tried({"elite 0": 2}, [replace(decision, births=both)])
    first = [proposal.genomes[0] for proposal in birth.proposals]
    assert counts == {"elite 0": 2 + first.count("elite 0")} | {
        n: first.count(n) for n in first if n != "elite 0"
    }
    assert sum(counts.values()) == 2 + 3
    arms = [decided(pool(3, 3), rules=replace(RULES, min_alive=6, arm=arm)) for arm in ("random", "clone")]
    assert tried({}, arms) == {}


def test_counts_of_a_genome_last_as_long_as_it_is_held():
    seen = replace(WHOLE, tries=tuple(range(len(WHOLE.elites))))
    assert held(seen) == {f"elite {cell}": cell for cell in WHOLE.cells}
