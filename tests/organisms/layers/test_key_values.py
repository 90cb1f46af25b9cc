import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.layers.key_values import BLOCK, KeyValues, Reading, rounded
from tests.fixtures.exact_rows import exact_rows
from tests.organisms.layers.definitions import drawn

SLOTS, G, R = 9, 2, 4
CPU = torch.device("cpu")


def filled(tokens):
    """A cache that holds drawn numbers for all tokens of all places."""
    cache = KeyValues(SLOTS, G, R, drawn(1))
    cache.reserve(tokens)
    shape = (SLOTS, G, tokens, R)
    cache.keys[:, :, :tokens] = drawn(*shape, seed=1)
    cache.values[:, :, :tokens] = drawn(*shape, seed=2)
    return cache


def by_tokens(cache, reading, q):
    """Attend a token and a head at a time."""
    H = q.shape[1]
    outputs = []
    for slot, position, token in zip(reading.slot_N.tolist(), reading.position_N.tolist(), q, strict=True):
        for head in range(H):
            keys, values = (each[slot, head * G // H, : position + 1] for each in (cache.keys, cache.values))
            outputs.append((keys @ token[head] / math.sqrt(R)).softmax(0) @ values)
    return torch.stack(outputs).view_as(q)


@st.composite
def readings(draw):
    slots = draw(st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=SLOTS, unique=True))
    starts = draw(st.lists(st.integers(0, 150), min_size=len(slots), max_size=len(slots)))
    counts = draw(st.lists(st.sampled_from([1, 1, 2, 7]), min_size=len(slots), max_size=len(slots)))
    return Reading(tuple(slots), tuple(starts), tuple(counts))


@given(readings(), st.sampled_from([2, 4, 6]))
def test_every_new_token_attends_to_its_own_sequence_up_to_itself(reading, heads):
    cache = filled(160)
    q = drawn(sum(reading.counts), heads, R, seed=3)
    torch.testing.assert_close(cache.attended(reading, q), by_tokens(cache, reading, q), rtol=0, atol=1e-13)


def test_places_between_those_that_read_change_nothing_whatever_they_hold():
    reading = Reading((1, 4, 3), (5, 9, 2), (1, 1, 1))
    cache, q = filled(64), drawn(3, 4, R, seed=3)
    wanted = cache.attended(reading, q)
    cache.keys[2], cache.values[2] = 1e30, -1e30
    assert torch.equal(cache.attended(reading, q), wanted)


def test_sequences_of_very_different_lengths_are_computed_apart():
    reading = Reading(tuple(range(5)), (4000, 3, 3, 3, 3), (1, 1, 1, 1, 1))
    assert [group.length for group in reading.groups] == [BLOCK, rounded(4001)]
    assert [len(group.token) for group in reading.groups] == [4, 1]
    alike = Reading(tuple(range(5)), (100, 3, 90, 120, 3), (1, 1, 1, 1, 1))
    assert [group.length for group in alike.groups] == [2 * BLOCK]


@exact_rows
def test_in_float32_a_longer_neighbour_changes_no_bit():
    like = torch.zeros(())
    for length in (3, 100, 300, 700):  # a library cuts sums of more than some 300 terms
        cache = KeyValues(4, 8, 32, like)
        cache.reserve(2000)
        cache.keys.copy_(drawn(*cache.keys.shape, seed=1, dtype=torch.float32))
        cache.values.copy_(drawn(*cache.keys.shape, seed=2, dtype=torch.float32))
        q = drawn(4, 8, 32, seed=3, dtype=torch.float32)
        together = cache.attended(Reading((0, 1, 2, 3), (length, 1990, 1500, 900), (1, 1, 1, 1)), q)
        assert torch.equal(cache.attended(Reading((0,), (length,), (1,)), q[:1]), together[:1])


@exact_rows
@given(
    width=st.integers(1, 9), heads=st.sampled_from([1, 2]), count=st.integers(2, 9), end=st.integers(9, 150)
)
def test_in_float32_a_cut_changes_no_bit_whatever_the_width_of_heads(width, heads, count, end):
    cache = KeyValues(1, 1, width, torch.zeros(1))
    cache.reserve(end)
    shape = (1, 1, end, width)
    cache.keys[:, :, :end], cache.values[:, :, :end] = (drawn(*shape, seed=seed).float() for seed in (1, 2))
    q = drawn(count, heads, width, seed=3).float()
    together = cache.attended(Reading((0,), (end - count,), (count,)), q)
    alone = [cache.attended(Reading((0,), (end - count + at,), (1,)), q[at : at + 1]) for at in range(count)]
    assert torch.equal(torch.cat(alone), together)


def test_what_is_written_comes_back_and_can_be_given_to_another_place():
    cache = KeyValues(SLOTS, G, R, drawn(1))
    k, v = drawn(130, G, R, seed=1), drawn(130, G, R, seed=2)
    cache.write(Reading((3, 5), (0, 0), (30, 100)), k, v)
    kept = cache.taken(5, 10, 90)
    torch.testing.assert_close(kept, torch.stack([k[40:120], v[40:120]]).transpose(1, 2), rtol=0, atol=0)
    cache.put(8, 10, kept)
    assert torch.equal(cache.taken(8, 10, 90), kept)
    assert cache.keys.shape[2] == 2 * BLOCK
    cache.reserve(1000)
    assert torch.equal(cache.taken(8, 10, 90), kept)
    cache.clear(8)
    assert not cache.taken(8, 0, 200).any()
    assert torch.equal(cache.taken(5, 10, 90), kept)
    assert cache.nbytes == 2 * SLOTS * G * cache.keys.shape[2] * R * 8
    assert cache.token_nbytes == kept[:, :, 0].nbytes


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        (((), (), ()), "must have an entry for each of at least one sequence, but have 0, 0 and 0"),
        (((1,), (2, 3), (1,)), "but have 1, 2 and 1"),
        (((1, 1), (0, 0), (1, 1)), r"slots must be different places from 0 on, but are \[1, 1\]"),
        (((-1,), (0,), (1,)), "slots must be different places"),
        (((1,), (-1,), (1,)), "starts must be at least 0 and counts at least 1"),
        (((1,), (0,), (0,)), "starts must be at least 0 and counts at least 1"),
    ],
)
def test_a_reading_of_other_numbers_is_refused(numbers, told):
    with pytest.raises(ValueError, match=told):
        Reading(*numbers)


def test_queries_of_another_reading_and_a_cache_without_places_are_refused():
    with pytest.raises(ValueError, match="q must have the 2 tokens of the reading, but is"):
        filled(64).attended(Reading((1,), (0,), (2,)), drawn(3, 4, R))
    with pytest.raises(ValueError, match="must be at least 1, but are 0, 2, 4"):
        KeyValues(0, G, R, drawn(1))
