import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qd.chemotaxis.hunger import hunger
from qd.lifecycle.decide import decide, loss_gate
from qd.lifecycle.rules import culls, phase
from qd.seeding import happens
from tests.qd.lifecycle_cases import (
    CELLS,
    NEIGHBOURS,
    RANGES,
    RULES,
    census,
    decided,
    happening,
    pool,
    record,
    view,
)

THOUSANDTHS = st.integers(0, 1000)


class TestPhases:
    def test_a_run_of_100_rounds(self):
        names = [phase(RULES, round) for round in range(1, 101)]
        assert [names.count(name) for name in ("warm-up", "gentle", "full")] == [10, 15, 75]
        assert names == sorted(names, key=["warm-up", "gentle", "full"].index)

    def test_culls_come_every_tenth_round_of_the_full_phase_but_not_at_the_end(self):
        assert [round for round in range(1, 101) if culls(RULES, round)] == [30, 40, 50, 60, 70, 80]

    # Shares in thousandths: a quiet end of 1e-12 of the rounds is none (the comparison forgives rounding).
    @given(st.integers(1, 200), THOUSANDTHS, THOUSANDTHS, THOUSANDTHS, st.integers(1, 20))
    def test_no_cull_is_ever_outside_the_full_phase_or_in_the_quiet_end(self, rounds, a, b, quiet, every):
        rules = replace(
            RULES,
            rounds=rounds,
            warmup=min(a, b) / 1000,
            gentle=max(a, b) / 1000,
            quiet=quiet / 1000,
            slow_every=every,
        )
        for round in range(1, rounds + 1):
            if culls(rules, round):
                assert phase(rules, round) == "full"
                assert round % every == 0
                assert 1000 * round <= (1000 - quiet) * rounds

    def test_in_warm_up_nothing_happens(self):
        for round in range(2, 11):
            decision = decided(pool(5, 5), round, rules=replace(RULES, slow_every=1))
            assert (decision.phase, decision.births, decision.deaths) == ("warm-up", (), ())

    def test_where_the_lifecycle_is_off_nothing_ever_happens(self):
        off = replace(RULES, enabled=False, slow_every=1, budget_bytes=1.0)
        for round in range(2, 101):
            decision = decided(pool(5, 5), round, rules=off)
            assert (decision.phase, decision.births, decision.deaths) == ("static", (), ())

    def test_without_births_components_still_die(self):
        decision = decided(pool(5, 5), rules=replace(RULES, arm="none"))
        assert not decision.births
        assert decision.deaths

    def test_in_the_gentle_phase_components_are_born_and_none_dies(self):
        rules = replace(RULES, slow_every=1)
        decisions = [decided(pool(5, 5), round, rules=rules) for round in range(11, 26)]
        assert {decision.phase for decision in decisions} == {"gentle"}
        assert all(decision.births and not decision.deaths for decision in decisions)

    def test_in_the_full_phase_both_are_considered(self):
        decision = decided(pool(5, 5))
        assert decision.phase == "full"
        assert decision.births
        assert decision.deaths

    def test_in_the_last_fifth_components_are_born_and_none_dies(self):
        rules = replace(RULES, slow_every=1)
        assert decided(pool(5, 5), 80, rules=rules).deaths
        for round in range(81, 101):
            decision = decided(pool(5, 5), round, rules=rules)
            assert not decision.deaths
            assert decision.births

    def test_temperature_follows_optimizer_steps(self):
        assert decided(pool(3, 3), 40).temperature == RULES.temperature(390) == 0.305

    def test_hunger_is_that_of_the_organisms_own_validation_losses(self):
        past = [census(pool(3, 3), validation=loss) for loss in (9.0, 4.0, 2.0)]
        assert decided(pool(3, 3), past=past, validation=1.0).hunger == hunger([9.0, 4.0, 2.0, 1.0])
        assert decided(pool(3, 3), past=past, validation=2.0).hunger > 0.2


class TestLossGate:
    @pytest.mark.parametrize(
        ("loss", "ema", "first", "open_"),
        [
            (10.0, 1.0, 5.0, True),
            (10.1, 1.0, 5.0, False),
            (10.1, 0.1, 11.0, True),  # a tenth of the first loss holds the average up
            (11.1, 0.1, 11.0, False),
            (math.inf, 1.0, 5.0, False),
            (math.nan, 1.0, 5.0, False),
        ],
    )
    def test_it_shuts_over_ten_times_the_average_or_the_first_loss(self, loss, ema, first, open_):
        found = loss_gate(census([], loss=loss, ema=ema, first=first), 10.0)
        assert (found is None) == open_

    def test_behind_a_shut_gate_nothing_happens_and_the_record_says_why(self):
        decision = decided(pool(5, 5), loss=21.0, ema=2.0)
        assert decision.frozen == "loss 21 is over 20, 10 times its moving average"
        assert (decision.births, decision.deaths) == ((), ())
        assert decided(pool(5, 5), loss=20.0, ema=2.0).frozen is None


POOLS = st.dictionaries(
    st.integers(0, 11),
    st.tuples(st.floats(-1, 1), st.floats(0, 1), st.integers(1, 9)),
    min_size=2,
    max_size=12,
)
VIEWS = st.dictionaries(st.integers(0, CELLS - 1), st.floats(0, 1)).map(
    lambda cells: view(cells, (1, 3, 5, 7))
)
ARMS = st.sampled_from(["archive", "random", "genes", "none"])


def drawn_pool(values):
    return [
        record(slot, ablation, place=place, age=age)
        for slot, (ablation, place, age) in sorted(values.items())
    ]


class TestEveryDecision:
    @given(POOLS, VIEWS, st.integers(2, 100), ARMS, st.integers(0, 4))
    @settings(deadline=None, max_examples=80)
    def test_depends_on_nothing_but_its_arguments(self, values, sight, round, arm, births):
        rules = replace(RULES, arm=arm, births_per_round=births, slow_every=2)
        past = [census(drawn_pool(values), round=round - 1)]
        before = copy.deepcopy(past)
        first = decide(rules, round, past, sight, NEIGHBOURS, RANGES)
        np.random.random(7)  # noqa: NPY002 - a global generator, which must not matter
        other = decide(replace(rules, seed=1), round, past, sight, NEIGHBOURS, RANGES)
        copied = copy.deepcopy((rules, round, past, sight, NEIGHBOURS, RANGES))
        assert decide(*copied) == first
        assert past == before
        assert other.phase == first.phase

    @given(POOLS, VIEWS, st.integers(2, 100), ARMS, st.integers(0, 4), st.integers(0, 9))
    @settings(deadline=None, max_examples=80)
    def test_keeps_the_rules(self, values, sight, round, arm, births, seed):
        rules = replace(RULES, arm=arm, births_per_round=births, slow_every=2, seed=seed)
        records = drawn_pool(values)
        decision = decided(records, round, sight, rules)
        gone = {death.component.slot for death in happening(decision.deaths)}
        taken = set(values) - gone
        slots = [birth.slot for birth in decision.births]
        assert len(slots) == len(set(slots)) <= births
        assert not set(slots) & taken
        assert set(slots) <= set(range(rules.depth * rules.capacity))
        for layer in range(rules.depth):
            within = range(layer * rules.capacity, (layer + 1) * rules.capacity)
            assert sum(slot in taken or slot in slots for slot in within) <= rules.capacity
        for event in (*decision.births, *decision.deaths):
            assert 0 <= event.probability <= 1
            assert event.happens <= happens(event.probability, event.draw)
        for birth in decision.births:
            assert birth.happens == happens(birth.probability, birth.draw)
            named = [parent for proposal in birth.proposals for parent in proposal.parents]
            parents = [sight.elites[sight.cells.index(parent.slot)] for parent in named]
            assert all(parent.depth == birth.slot // rules.capacity for parent in parents)
        young = {r.component for r in records if r.age < rules.min_age}
        assert not any(death.component in young for death in decision.deaths)

    @given(POOLS, st.floats(0.001, 2), st.floats(0.001, 2), st.integers(0, 20))
    @settings(deadline=None, max_examples=60)
    def test_a_colder_round_never_makes_a_weak_parent_likelier(self, values, one, other, seed):
        hot, cold = max(one, other), min(one, other)
        births = [
            decided(
                drawn_pool(values), rules=replace(RULES, seed=seed, min_alive=9, temperature=lambda s, t=t: t)
            ).births
            for t in (hot, cold)
        ]
        for warm, cool in zip(*births, strict=True):
            assert warm.proposals == cool.proposals
            assert cool.probability <= warm.probability
