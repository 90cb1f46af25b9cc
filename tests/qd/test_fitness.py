import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from qd.fitness import (
    KINDS,
    Weights,
    Yardstick,
    candidate,
    candidates,
    entrants,
    ineligible,
    living,
    shares,
)
from qd.measures import Ranges
from qd.records import Census, Child, ComponentId, Record

FINITE = st.floats(-1e9, 1e9)
RANGES = Ranges(low=(0.0, 0.0, -2.0, 0.0, 0.0), high=(1.0, 1.0, 2.0, 0.5, 4.0))


def record(slot: int = 0, **changes) -> Record:
    component = ComponentId(3, 0, slot)
    plain = Record(
        component=component,
        parents=(),
        lineage=component,
        depth=0,
        genes=(("rank", 4.0),),
        genome="ab" * 32,
        age=5,
        measures=(0.5, 0.25, 0.0, 0.25, 1.0),
        assay=0.1,
        assay_lower=0.05,
        ablation=0.2,
        gradient=1.0,
        flops=50.0,
        bytes=10.0,
    )
    return replace(plain, **changes)


def census(*records: Record) -> Census:
    return Census(3, 7, 70, 1.0, 1.0, 2.0, 1.0, 1.0, 0.5, None, None, "cd" * 32, records, None)


GRADIENTS = (1.0, 2.0, 2.0, 8.0)
YARDSTICK = Yardstick(RANGES, reference=2.0, largest_flops=100.0, gradients=GRADIENTS)
EITHER = st.floats(-1e9, 1e9) | st.sampled_from([-2.0, 0.0, 1e-9, 2.0])


def test_objective_is_the_weighted_sum_by_hand():
    # 0.7 * 0.5 / 1.5 + 0.2 * (1 - 0.25) + 0.1 * 3.5 / 4: three are smaller, and none is the same
    assert YARDSTICK.objective(1.0, 25.0, 3.0) == pytest.approx(0.7 / 3 + 0.15 + 0.075, abs=1e-15)
    assert YARDSTICK.objective(1.0, 25.0, 2.0) == pytest.approx(0.7 / 3 + 0.15 + 0.05, abs=1e-15)


@pytest.mark.parametrize(
    ("assay", "flops", "gradient", "expected"),
    [(-9.0, 200.0, 0.0, 0.0), (-9.0, 0.0, 9.0, 0.3), (0.0, 100.0, 0.5, 0.0), (2.0, 100.0, 0.5, 0.35)],
)
def test_what_harms_costs_more_or_moves_less_than_all_known_has_nothing_of_a_term(
    assay, flops, gradient, expected
):
    assert YARDSTICK.objective(assay, flops, gradient) == pytest.approx(expected, abs=1e-15)


@given(EITHER, EITHER, st.floats(0, 1e9), st.floats(1e-6, 1e6), st.floats(0, 1e9))
def test_the_objective_rises_with_the_assay_and_never_reaches_one(assay, other, flops, reference, gradient):
    yardstick = replace(YARDSTICK, reference=reference)
    low, high = (yardstick.objective(each, flops, gradient) for each in sorted((assay, other)))
    assert 0 <= low <= high < 1


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.floats(1e-6, 1e6))
def test_every_better_assay_counts_however_good_it_is_already(assay, more, reference):
    yardstick = replace(YARDSTICK, reference=reference)
    one, other = (yardstick.objective(each * reference, 1.0, 1.0) for each in (assay, assay * 1.01 + more))
    assert one < other


@given(st.floats(1e-9, 1e9))
def test_the_task_term_is_one_half_at_the_reference(reference):
    yardstick = replace(YARDSTICK, reference=reference, weights=Weights(1.0, 0.0, 0.0))
    assert yardstick.objective(reference, 0.0, 0.0) == pytest.approx(0.5)
    assert yardstick.objective(3 * reference, 0.0, 0.0) == pytest.approx(0.75)


@given(st.lists(st.sampled_from([0.0, 0.5, 3.0]) | st.floats(0, 1e9), min_size=1), st.floats(0, 1e9))
def test_the_gradient_counts_as_scipys_mean_percentile(known, gradient):
    yardstick = replace(YARDSTICK, gradients=tuple(sorted(known)), weights=Weights(0.0, 0.0, 1.0))
    for each in (gradient, known[0]):
        expected = percentileofscore(known, each, kind="mean") / 100
        assert yardstick.objective(0.0, 0.0, each) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("reference", "largest"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (math.inf, 1.0)])
def test_a_yardstick_refuses_scales_that_are_not_positive(reference, largest):
    with pytest.raises(ValueError, match="reference and largest_flops must be above 0"):
        Yardstick(RANGES, reference, largest, GRADIENTS)


@pytest.mark.parametrize("gradients", [(), (2.0, 1.0)])
def test_a_yardstick_refuses_gradients_that_do_not_rise(gradients):
    with pytest.raises(ValueError, match="gradients must be one or more and rise"):
        Yardstick(RANGES, 1.0, 1.0, gradients)


@pytest.mark.parametrize("numbers", [(math.nan, 1.0, 1.0), (1.0, math.inf, 1.0), (1.0, 1.0, math.nan)])
def test_objective_refuses_numbers_that_are_not_finite(numbers):
    with pytest.raises(ValueError, match="the objective needs finite numbers"):
        YARDSTICK.objective(*numbers)


@pytest.mark.parametrize("values", [{"task": -0.1, "efficiency": 1.0}, {"task": math.nan}])
def test_weights_must_be_shares(values):
    with pytest.raises(ValueError, match=r"weights must lie in \[0, 1\]"):
        Weights(**values)


def test_weights_must_add_up_to_one():
    with pytest.raises(ValueError, match="must add up to 1"):
        Weights(task=0.8)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"age": 2}, None),
        ({"age": 1}, "immature"),
        ({"assay_lower": 0.0}, "useless"),
        ({"assay_lower": -1.0, "age": 1}, "immature"),
        ({"assay": math.nan, "age": 1}, "non-finite"),
        ({"flops": math.inf}, "non-finite"),
        ({"measures": (0.0, 0.0, -math.inf, 0.0, 0.0)}, "non-finite"),
        ({"ablation": math.nan}, "non-finite"),
    ],
)
def test_ineligible_gives_the_reason(changes, reason):
    assert ineligible(record(**changes), maturity=2) == reason


def test_entrants_are_counted_by_what_keeps_them_away():
    records = [record(1), record(2), record(3, age=1), record(4, assay_lower=0.0), record(5, assay=math.inf)]
    assert entrants(records, maturity=2) == {"competes": 2, "immature": 1, "useless": 1, "non-finite": 1}


@given(st.lists(FINITE, max_size=12))
def test_shares_are_proportional_to_rises_and_sum_to_one_or_zero(rises):
    found = shares(rises)
    positive = np.maximum(np.array(rises, dtype=np.float64), 0)
    assert found.shape == (len(rises),)
    assert (found >= 0).all()
    assert (found[positive == 0] == 0).all()
    assert found.sum() == pytest.approx(1.0 if positive.any() else 0.0, abs=1e-12)
    np.testing.assert_allclose(found * positive.sum(), positive * found.sum(), rtol=1e-12, atol=1e-300)


def test_shares_by_hand_and_without_overflow():
    assert shares([3.0, -5.0, 1.0]).tolist() == [0.75, 0.0, 0.25]
    assert shares([1e308, 1e308]).tolist() == [0.5, 0.5]


def test_shares_refuse_rises_that_are_not_finite():
    with pytest.raises(ValueError, match="ablations must be finite; number 1 is nan; freeze the lifecycle"):
        shares([1.0, math.nan])


def test_candidates_are_the_eligible_records_in_order():
    records = (
        record(0, gradient=0.5, assay=2.0),
        record(1, gradient=2.0, age=1),  # immature
        record(2, gradient=9.0, measures=(2.0, 0.25, 0.0, 0.25, 1.0)),
        record(3, gradient=math.nan),
    )
    found = candidates(census(*records), YARDSTICK, 2)
    assert [candidate.component.slot for candidate in found] == [0, 2]
    assert [candidate.round for candidate in found] == [7, 7]
    assert found[0].objective == pytest.approx(0.7 * 0.5 + 0.2 * 0.5)
    assert found[1].objective == pytest.approx(0.7 * 0.05 / 1.05 + 0.2 * 0.5 + 0.1)
    assert found[0].behaviour == (0.5, 0.25, 0.5, 0.5, 0.25)
    assert found[1].behaviour[0] == 1.0
    assert found[1].out_of_range == (True, False, False, False, False)
    assert (found[0].genome, found[0].genes, found[0].lineage) == (
        records[0].genome,
        records[0].genes,
        records[0].lineage,
    )


def test_an_empty_census_gives_no_candidates():
    assert candidates(census(), YARDSTICK, 2) == ()


def test_a_child_of_an_emitter_and_a_record_with_the_same_measurements_compete_alike():
    one = record(gradient=3.0)
    shared = {field.name: getattr(one, field.name) for field in fields(Child)}
    assert candidate(Child(**shared), 4, YARDSTICK) == candidate(one, 4, YARDSTICK)


def test_the_first_term_goes_by_a_worth_of_another_kind():
    by_worth = replace(YARDSTICK, kind="alignment")
    # 0.7 * 0.5 + 0.2 * (1 - 0.25) + 0.1 * 3.5 / 4, whatever the assay is
    assert by_worth.objective(9.0, 25.0, 3.0, 0.5) == pytest.approx(0.35 + 0.15 + 0.075, abs=1e-15)
    assert by_worth.objective(9.0, 100.0, 0.5, -0.5) == 0.0
    assert YARDSTICK.objective(1.0, 25.0, 3.0, 0.9) == YARDSTICK.objective(1.0, 25.0, 3.0)
    one = record(worth=0.5, flops=25.0, gradient=3.0)
    assert candidate(one, 4, by_worth).objective == by_worth.objective(9.0, 25.0, 3.0, 0.5)


def test_a_worth_that_is_missing_or_not_finite_is_refused():
    by_worth = replace(YARDSTICK, kind="information")
    with pytest.raises(ValueError, match="the objective goes by information, but there is none"):
        by_worth.objective(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="the objective needs finite numbers"):
        by_worth.objective(1.0, 1.0, 1.0, math.nan)
    assert ineligible(record(worth=math.nan), 2) == "non-finite"
    with pytest.raises(ValueError, match=f"kind must be one of {', '.join(KINDS)}, not 'assays'"):
        replace(YARDSTICK, kind="assays")


def test_the_living_fitness_is_the_weighted_sum_of_two_shares_by_hand():
    ablations, flops = [0.3, -1.0, 0.1], [50.0, 80.0, 120.0]  # efficiencies 0.5, 0.2, 0
    assert living(ablations, flops, 100.0, 0.4).tolist() == pytest.approx(
        [0.6 * 0.75 + 0.4 * 5 / 7, 0.4 * 2 / 7, 0.6 * 0.25]
    )
    assert living(ablations, [100.0] * 3, 100.0, 1.0).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(FINITE, max_size=9))
def test_without_a_weight_the_living_fitness_is_the_share_of_uses(ablations):
    found = living(ablations, [1.0] * len(ablations), 2.0, 0.0)
    assert found.tolist() == shares(ablations).tolist()


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_of_efficiency_that_is_no_share_is_refused(weight):
    with pytest.raises(ValueError, match=r"efficiency must be a weight in \[0, 1\]"):
        living([0.1], [1.0], 2.0, weight)
