import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runs.models.fit.step.batches import Batches, order

NUMBERS = st.integers(1, 40)


@given(st.integers(0, 2**62), NUMBERS, st.integers(1, 8), st.integers(1, 4), st.integers(0, 3))
def test_every_example_is_taken_once_in_an_epoch(seed, examples, batch, parts, epoch):
    batches = Batches(seed, examples, batch, parts)
    steps = range(epoch * batches.steps_per_epoch + 1, (epoch + 1) * batches.steps_per_epoch + 1)
    taken = np.concatenate([part for step in steps for part in batches.of(step)])
    assert sorted(taken) == list(range(examples))
    assert len(steps) == math.ceil(examples / (batch * parts))


@given(st.integers(0, 2**62), NUMBERS, st.integers(1, 8), st.integers(1, 4), st.integers(1, 100))
def test_parts_are_as_many_as_asked_and_differ_by_one_at_most(seed, examples, batch, parts, step):
    sizes = [len(part) for part in Batches(seed, examples, batch, parts).of(step)]
    assert len(sizes) == parts
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) > 0


@given(NUMBERS, NUMBERS, st.integers(1, 4))
def test_a_step_is_too_large_where_it_takes_all_and_would_take_more(examples, batch, parts):
    batches = Batches(0, examples, batch, parts)
    assert (batches.too_large is not None) == (batch * parts > examples)
    if batches.too_large:
        assert batches.steps_per_epoch == 1
        assert f"more than the {examples} examples" in batches.too_large


def test_epochs_and_seeds_have_orders_of_their_own():
    drawn = [tuple(order(seed, epoch, 50)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(drawn)) == 4
    assert tuple(order(1, 1, 50)) == drawn[-1]


def test_the_same_examples_are_taken_however_they_are_shared_out():
    """Two processes, two micro-batches of one, or a batch of twice the size."""
    alone, shared = Batches(3, 50, 16, 1), Batches(3, 50, 8, 2)
    for step in range(1, 9):
        assert np.array_equal(np.concatenate(alone.of(step)), np.concatenate(shared.of(step)))
