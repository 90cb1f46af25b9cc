from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.chemotaxis.apart import apart
from qd.chemotaxis.hunger import hunger
from qd.chemotaxis.rule import probabilities
from qd.lifecycle.decide import decide
from qd.lifecycle.quarantine import RESEED_AFTER, in_a_row
from qd.records import ComponentId
from qd.seeding import generator, uniform
from tests.qd.lifecycle_cases import (
    CELLS,
    CULL,
    EMPTY,
    NEIGHBOURS,
    RANGES,
    RULES,
    WHOLE,
    census,
    decided,
    pool,
    view,
)

ARMS = ("archive", "random", "genes", "clone", "none")
LAYERS = {0: (0, 1, 2), 1: (6, 7, 8)}  # slots of a new organism


def history(finite, round=CULL):
    """Censuses up to the round before, one for each truth value: finite or in quarantine."""
    first = round - len(finite)
    return [
        census(pool(3, 3) if good else [], round=first + index, quarantine=None if good else "loss is nan")
        for index, good in enumerate(finite)
    ]


def decision(finite, round=CULL, sight=WHOLE, **changes):
    return decide(replace(RULES, **changes), round, history(finite, round), sight, NEIGHBOURS, RANGES)


def reseeding(**changes):
    return decision([True, False, False, False], **changes)


@given(st.lists(st.booleans(), max_size=12))
def test_rounds_in_quarantine_are_counted_up_to_three_and_anew_after_a_re_seed(finite):
    count = 0
    for good in finite:
        count = 0 if good else 1 if count == RESEED_AFTER else count + 1
    assert in_a_row(history(finite)) == count


@given(
    st.lists(st.booleans(), min_size=1, max_size=8),
    st.integers(9, 100),
    st.sampled_from(ARMS),
    st.dictionaries(st.integers(0, CELLS - 1), st.floats(0, 1)),
)
def test_after_a_quarantine_nothing_is_born_and_nothing_dies_but_in_a_re_seed(finite, round, arm, cells):
    sight = view(cells, depths=(1, 3, 5))
    found = decision([*finite, False], round, sight, arm=arm, slow_every=1, budget_bytes=1.0)
    assert found.deaths == ()
    assert found.reseed == (in_a_row(history([*finite, False])) == RESEED_AFTER)
    if found.reseed:
        assert (len(found.births), found.frozen) == (6, None)
    else:
        assert found.births == ()
        assert found.frozen == f"round {round - 1} was quarantined: loss is nan"


@given(st.lists(st.booleans(), max_size=8), st.integers(9, 100))
def test_after_a_finite_round_there_is_no_re_seed(finite, round):
    found = decision([*finite, True], round)
    assert (found.reseed, found.frozen) == (False, None)


def test_quarantined_rounds_do_not_make_an_organism_hungry():
    finite = [census(pool(3, 3), validation=loss) for loss in (4.0, 2.0)]
    lost = census([], validation=float("nan"), quarantine="loss is nan")
    assert decided(pool(3, 3), past=[*finite, lost], validation=1.0).hunger == hunger([4.0, 2.0, 1.0])
    again = decide(RULES, CULL, [*finite, lost], WHOLE, NEIGHBOURS, RANGES)
    assert again.hunger == hunger([4.0, 2.0]) == 0.5


class TestReseed:
    def test_it_fills_the_first_slots_of_every_layer_and_is_certain(self):
        births = reseeding().births
        assert [birth.slot for birth in births] == [0, 1, 2, 6, 7, 8]
        for birth in births:
            assert (birth.probability, birth.happens) == (1.0, True)
            assert birth.context == f"reseed:0:{birth.slot}"
            assert birth.draw == uniform(5, CULL, birth.context)
            assert birth.threshold == WHOLE.median_objective
            assert birth.sigma == pytest.approx(0.2 * RULES.temperature(390) / 0.5)

    def test_it_comes_in_every_phase_and_in_the_quiet_end(self):
        assert all(decision([False] * 3, round).reseed for round in (4, 15, 95, 100))

    def test_parents_are_drawn_by_chemotaxis_among_the_elites_of_the_layer(self):
        found = reseeding()
        for birth in found.births:
            depth = birth.slot // RULES.capacity
            stream = generator(5, CULL, f"reseed:0:{birth.slot}")
            chances = probabilities(WHOLE, NEIGHBOURS, found.hunger, RULES.tau, depth)
            (parent,) = apart(WHOLE, NEIGHBOURS, chances, stream, 1)
            assert birth.parents == (parent.component,)
            assert birth.objective == parent.objective
            assert parent.depth == depth
        assert len({birth.parents for birth in found.births}) > 2

    @pytest.mark.parametrize("arm", ARMS)
    def test_no_arm_but_the_archives_own_takes_over_weights(self, arm):
        operators = {"archive": "gaussian", "genes": "genes"}
        for birth in reseeding(arm=arm).births:
            assert (birth.arm, birth.operator) == (arm, operators.get(arm, "random"))
            assert bool(birth.genomes) == bool(birth.parents) == (arm in operators)
            assert (birth.lineage is not None) == (arm == "archive")
            if arm == "archive":
                assert birth.lineage == ComponentId(8, 0, birth.parents[0].slot)
                assert birth.genomes == (f"elite {birth.parents[0].slot}",)

    def test_all_arms_draw_the_same_parents(self):
        objectives = [[birth.objective for birth in reseeding(arm=arm).births] for arm in ARMS]
        assert objectives == [objectives[0]] * len(ARMS)

    @pytest.mark.parametrize("arm", ARMS)
    def test_from_an_empty_view_all_is_random(self, arm):
        for birth in reseeding(arm=arm, sight=EMPTY).births:
            assert (birth.operator, birth.parents, birth.genomes, birth.lineage) == ("random", (), (), None)
            assert (birth.objective, birth.threshold, birth.happens) == (None, None, True)

    def test_a_layer_without_elites_is_random(self):
        births = reseeding(sight=view({1: 0.5, 3: 0.6}, depths=(1, 3))).births
        operators = {
            depth: {b.operator for b in births if b.slot in slots} for depth, slots in LAYERS.items()
        }
        assert operators == {0: {"random"}, 1: {"gaussian"}}
