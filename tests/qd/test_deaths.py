import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qd.lifecycle.comonad import RelativeFitness, around
from qd.lifecycle.rules import phase
from qd.seeding import happens, uniform
from tests.qd.lifecycle_cases import CULL, RULES, decided, happening, pool, record

FITNESS = st.lists(st.floats(-1, 1), min_size=4, max_size=12)


class TestDeaths:
    def cull(self, records, **changes):
        """Deaths considered where everybody is everybody's neighbour."""
        return decided(records, rules=replace(RULES, **({"neighbours": 99} | changes))).deaths

    def test_probability_and_draw_are_those_of_the_formula(self):
        records = pool(5, 5)
        fitness = {r.component: r.ablation / math.fsum(x.ablation for x in records) for r in records}
        places = [r.measures for r in records]
        deaths = decided(records).deaths
        assert deaths
        for death in deaths:
            index = [r.component for r in records].index(death.component)
            z = RelativeFitness(lambda r: fitness[r.component], 3)(around(records, index, places))
            assert death.z == pytest.approx(z)
            assert death.probability == pytest.approx(1 - math.exp(z / RULES.temperature(390)))
            assert death.draw == uniform(5, CULL, f"cull:{death.component}")
            assert (death.reason, death.floor) == ("fitness", 0.0)

    def test_only_weak_old_components_under_the_floor_are_considered(self):
        records = pool(5, 5)
        considered = {death.component.slot for death in self.cull(records)}
        assert considered == {0, 1, 2, 3, 4}  # the lower half
        records[1] = replace(records[1], age=3)
        assert {death.component.slot for death in self.cull(records)} == {0, 1, 2, 3, 4}
        records[1] = replace(records[1], age=2)
        assert {death.component.slot for death in self.cull(records)} == {0, 2, 3, 4}
        assert self.cull(records, floor=-99.0) == ()

    def test_the_weakest_are_considered_first(self):
        records = [record(slot, ablation) for slot, ablation in enumerate((0.3, 0.01, 0.2, 0.02, 0.9, 0.8))]
        assert [death.component.slot for death in self.cull(records)] == [1, 3, 2]

    def test_what_costs_much_is_weaker_where_efficiency_counts(self):
        search = replace(RULES.search, largest_flops=1000.0)
        records = [replace(record(slot, 0.1), flops=100.0 * slot) for slot in range(6)]
        assert self.cull(records, search=search) == ()
        costly = self.cull(records, search=search, efficiency=0.5)
        assert [death.component.slot for death in costly] == [5, 4, 3]

    def test_equally_fit_neighbours_are_safe(self):
        assert self.cull([record(slot) for slot in range(6)]) == ()

    def test_without_any_rise_nobody_is_weaker_than_another(self):
        assert self.cull([record(slot, -0.1 * slot) for slot in range(6)]) == ()

    @pytest.mark.parametrize(("size", "most"), [(4, 1), (8, 1), (15, 1), (16, 2), (24, 3)])
    def test_at_most_an_eighth_dies_but_one_may(self, size, most):
        records = [record(slot, 0.001 if slot < size // 2 else 1.0, depth=0) for slot in range(size)]
        deaths = self.cull(records, capacity=24, temperature=lambda step: 1e-9, min_alive=1)
        assert len(deaths) >= size // 2
        assert len(happening(deaths)) == most

    def test_never_fewer_than_min_alive_are_left_in_a_layer(self):
        certain = {"temperature": lambda step: 1e-9, "capacity": 24}
        records = [record(s, 0.001 * (s + 1), depth=0) for s in range(16)] + [
            record(30 + s, 9.0) for s in range(3)
        ]
        records = [replace(r, depth=int(r.component.slot >= 30)) for r in records]
        for least, died in ((17, 0), (16, 0), (15, 1), (14, 2), (1, 2)):
            deaths = happening(self.cull(records, min_alive=least, **certain))
            assert len(deaths) == died

    def test_a_layer_at_its_least_does_not_protect_the_other(self):
        records = [record(0, 0.001), record(1, 0.001), record(6, 0.01)]
        records += [record(slot, 5.0) for slot in (7, 8, 9, 10)]
        deaths = happening(self.cull(records, temperature=lambda step: 1e-9))
        assert [death.component.slot for death in deaths] == [6]

    def test_a_budget_takes_the_weakest_fifth_whatever_their_age_or_fitness(self):
        records = [replace(record(slot, depth=0), age=1, ablation=1.0 + slot) for slot in range(11)]
        changes = {"capacity": 20, "min_alive": 1, "floor": -99.0}
        assert self.cull(records, budget_bytes=1100.0, **changes) == ()
        deaths = self.cull(records, budget_bytes=1099.0, **changes)
        assert [death.component.slot for death in deaths] == [0, 1, 2]  # ceil(0.2 x 11)
        assert {(d.reason, d.probability, d.happens) for d in deaths} == {("budget", 1.0, True)}

    def test_even_a_budget_leaves_min_alive(self):
        records = [record(slot, 1.0 + slot) for slot in range(3)]
        deaths = self.cull(records, budget_bytes=1.0, min_alive=3)
        assert [death.happens for death in deaths if death.reason == "budget"] == [False]

    def test_under_a_budget_deaths_by_fitness_keep_their_own_limit(self):
        records = [record(slot, 0.001 if slot < 8 else 1.0, depth=0) for slot in range(16)]
        changes = {"capacity": 20, "min_alive": 1, "temperature": lambda step: 1e-9}
        reasons = [death.reason for death in happening(self.cull(records, budget_bytes=1.0, **changes))]
        assert reasons == ["budget"] * 4 + ["fitness"] * 2

    def test_a_death_makes_room_for_a_birth_in_the_same_decision(self):
        rules = replace(RULES, temperature=lambda step: 1e-9 if step else 0.5, depth=1, min_alive=1)
        full = [record(slot, 0.001 if slot == 2 else 1.0) for slot in range(6)]
        decision = decided(full, rules=rules)
        assert [death.component.slot for death in happening(decision.deaths)] == [2]
        assert [birth.slot for birth in decision.births] == [2]

    def test_hot_culls_are_gentler_than_cold_ones(self):
        chances = []
        for temperature in (1.0, 0.1, 0.01):
            deaths = self.cull(pool(5, 5), temperature=lambda step, t=temperature: t)
            chances.append([death.probability for death in deaths])
        assert all(hot < mild < cold for hot, mild, cold in zip(*chances, strict=True))

    @given(FITNESS, FITNESS, st.integers(1, 4), st.one_of(st.none(), st.floats(1, 3000)), st.integers(0, 99))
    @settings(deadline=None, max_examples=60)
    def test_the_hard_limits_hold_for_any_pool(self, first, second, least, budget, seed):
        rules = replace(RULES, capacity=12, min_alive=least, budget_bytes=budget, seed=seed)
        records = [record(s, a, depth=0, place=s / 12) for s, a in enumerate(first)]
        records += [record(12 + s, a, depth=1, place=s / 12) for s, a in enumerate(second)]
        deaths = decided(records, rules=rules).deaths
        n, died = len(records), happening(deaths)
        by_fitness = [death for death in died if death.reason == "fitness"]
        assert len(by_fitness) <= max(1, n // 8)
        assert len(died) - len(by_fitness) <= math.ceil(n / 5)
        for depth in range(2):
            alive = [r.component for r in records if r.depth == depth]
            left = len(alive) - sum(death.component in alive for death in died)
            assert left >= min(least, len(alive))
        assert len({death.component for death in deaths}) == len(deaths)
        for death in died:
            assert happens(death.probability, death.draw)


class TestMemory:
    """The weakest fifth dies where a step took more than the budget, or the round was tried in vain."""

    RULES = replace(RULES, memory_budget=1000, min_alive=1, capacity=20)
    RECORDS = tuple(record(slot, 1.0 + slot, depth=0, age=1) for slot in range(11))

    @pytest.mark.parametrize("round", [2, 15, 37, CULL, 95], ids=lambda round: phase(RULES, round))
    @pytest.mark.parametrize("memory", [None, 1000, 1001])
    def test_over_its_budget_an_organism_loses_a_fifth_in_any_phase_and_bears_nothing(self, round, memory):
        decision = decided(self.RECORDS, rules=self.RULES, round=round, memory=memory)
        if memory != 1001:
            assert {death.reason for death in decision.deaths} <= {"fitness"}
            return
        assert [death.component.slot for death in decision.deaths] == [0, 1, 2]
        assert {(d.reason, d.probability, d.happens) for d in decision.deaths} == {("memory", 1.0, True)}
        assert decision.births == ()
        assert not decision.starved

    def test_without_a_budget_nothing_is_too_much(self):
        rules = replace(self.RULES, memory_budget=None)
        assert decided(self.RECORDS, rules=rules, round=37, memory=10**12).deaths == ()

    def test_a_round_that_was_tried_in_vain_is_tried_with_fewer_whatever_was_counted(self):
        rules = replace(self.RULES, memory_budget=None)
        decision = decided(self.RECORDS, rules=rules, round=37, starved=True)
        assert decision.starved
        assert [(d.component.slot, d.reason) for d in decision.deaths] == [(n, "memory") for n in range(3)]

    def test_a_diverging_organism_gives_way_too_and_an_undone_round_has_nobody_to_choose_from(self):
        decision = decided(self.RECORDS, rules=self.RULES, loss=1e9, memory=1001)
        assert decision.frozen is not None
        assert len(happening(decision.deaths)) == 3
        assert decided((), rules=self.RULES, quarantine="x", memory=1001).deaths == ()

    def test_min_alive_is_left(self):
        deaths = decided(self.RECORDS, rules=replace(self.RULES, min_alive=10), memory=1001).deaths
        assert [death.happens for death in deaths] == [True, False, False]
