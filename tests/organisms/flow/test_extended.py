"""Networks that read piece by piece, against those that read at once."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.flow.enhanced_layer import EnhancedFlowLayer
from organisms.flow.network import FlowNetwork
from organisms.layers.key_values import Reading
from tests.fixtures.exact_rows import exact_rows

V, D, LONGEST = 11, 12, 160
NETWORK = {
    "num_heads": 3,
    "num_patterns": 4,
    "window": 6,
    "base_sparsity": 0.5,
    "memory_size": 4,
    "block_size": 4,
}
KINDS = {
    "memory": {},
    "blocks beyond the window": {"block_size": 50},
    "no memory": {"memory_size": None},
    "no window": {"window": None},
    "a window of one": {"window": 1, "base_sparsity": 1.0},
    "no attention": {"self_attention": False},
    "odd heads": {"num_heads": 4, "num_channels": 3},
}


def new_network(**given):
    return FlowNetwork(V, D, 2, LONGEST, **NETWORK | given).eval()


NETWORKS = {kind: new_network(**given) for kind, given in KINDS.items()}


def symbols(length, seed=0):
    return torch.randint(V, (length,), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def read(network, pasts, slots, starts, tokens):
    reading = Reading(tuple(slots), tuple(starts), tuple(len(each) for each in tokens))
    return network.extended(torch.cat(tokens), reading, pasts)


def last_of(network, ids, cuts, slot=0, pasts=None):
    """Return the logits after each piece of a sequence."""
    pasts = pasts or network.new_pasts(slot + 1)
    bounds = [0, *cuts, len(ids)]
    pieces = itertools.pairwise(bounds)
    return [
        read(network, pasts, [slot], [start], [ids[start:end]])[0] for start, end in pieces if start < end
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_come_to_what_one_pass_comes_to(kind):
    network = new_network(**KINDS[kind]).double()
    ids = symbols(LONGEST)
    with torch.no_grad():
        whole = network(ids[None])[0][0]
    for number, found in enumerate(last_of(network, ids, range(1, LONGEST))):
        torch.testing.assert_close(found, whole[number], rtol=0, atol=1e-10)
    for end, found in zip((90, LONGEST), last_of(network, ids, [90]), strict=True):
        torch.testing.assert_close(found, whole[end - 1], rtol=0, atol=1e-10)


def test_beyond_the_longest_pass_it_goes_on_as_chunks_do():
    network = new_network(block_size=16).double()
    ids = symbols(3 * LONGEST)
    with torch.no_grad():
        whole = network.forward_chunked(ids[None])[0]
    found = last_of(network, ids, [400, 401, 479])
    for number, end in enumerate((400, 401, 479, 480)):
        torch.testing.assert_close(found[number], whole[end - 1], rtol=0, atol=1e-10)


@exact_rows
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5)
@given(data=st.data())
def test_no_bit_depends_on_cuts_or_company(kind, data):
    network, sequences = NETWORKS[kind], data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, 45), min_size=sequences, max_size=sequences))
    slots = data.draw(st.permutations(range(6)))[:sequences]
    ids = [symbols(length, seed) for seed, length in enumerate(lengths)]
    alone = [last_of(network, each, range(1, len(each)))[-1] for each in ids]
    pasts, at = network.new_pasts(6), [0] * sequences
    found = [None] * sequences
    while any(done < length for done, length in zip(at, lengths, strict=True)):
        going = [number for number in range(sequences) if at[number] < lengths[number]]
        ends = {number: data.draw(st.integers(at[number] + 1, lengths[number])) for number in going}
        pieces = [ids[number][at[number] : ends[number]] for number in going]
        read_ = read(network, pasts, [slots[each] for each in going], [at[each] for each in going], pieces)
        for number, logits in zip(going, read_, strict=True):
            found[number], at[number] = logits, ends[number]
    for one, other in zip(alone, found, strict=True):
        assert torch.equal(one, other)


@exact_rows
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(cuts=st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60)))
def test_what_was_taken_of_a_sequence_continues_another_in_every_bit(kind, cuts):
    network = NETWORKS[kind]
    ids = symbols(sum(cuts) + 3)
    one, other = (network.new_pasts(3, shared=True) for _ in range(2))
    last_of(network, symbols(70, 1), [], 2, other)  # the place was another's
    wanted = last_of(network, ids, [sum(cuts)], 1, one)[-1]
    start = 0
    for length in cuts:
        for given_, kept in zip(one, other, strict=True):
            kept.put(2, start, given_.taken(1, start, start + length))
        start += length
    assert torch.equal(read(network, other, [2], [start], [ids[start:]])[0], wanted)
    assert torch.equal(other[0].taken(2, 0, start), one[0].taken(1, 0, start))


def test_memory_is_bounded_unless_what_was_read_is_shared():
    network = new_network()
    pasts = network.new_pasts(2)
    before = [each.nbytes for each in pasts]
    last_of(network, symbols(500), [], 0, pasts)
    assert [each.nbytes for each in pasts] == before
    with pytest.raises(ValueError, match="what was read is not kept beyond the ring"):
        pasts[0].taken(0, 0, 1)
    shared = network.new_pasts(2, shared=True)
    last_of(network, symbols(500), [], 0, shared)
    assert shared[0].taken(0, 0, 500).nbytes == 500 * shared[0].token_nbytes
    assert shared[0].nbytes >= before[0] + 2 * 500 * shared[0].token_nbytes


def test_a_place_that_was_not_finite_is_clean_after_it_was_cleared():
    network = new_network()
    pasts = network.new_pasts(1)
    wanted = last_of(network, symbols(9), [])[0]
    last_of(network, symbols(20, 1), [], 0, pasts)
    for past in pasts:
        for each in (*past.kept.values(), *past.banks.values()):
            each[0] = torch.nan
        past.clear(0)
    assert torch.equal(last_of(network, symbols(9), [], 0, pasts)[0], wanted)


def test_other_symbols_are_refused():
    with pytest.raises(ValueError, match=r"input_ids must be in \[0, 11\)"):
        last_of(NETWORKS["memory"], torch.tensor([3, V]), [])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"causal": False, "window": 4}, "its tokens see later ones"),
        ({}, "its flows have no window"),
        ({"window": 4, "cross_attention": True}, "its cross-attention needs a context"),
        ({"window": 4, "memory_size": 3, "carry_over": True}, "its memory is carried over from call to call"),
    ],
)
def test_layers_that_see_more_than_what_was_kept_are_refused(given, reason):
    layer = EnhancedFlowLayer(8, 8, 2, 2, **{"causal": True} | given)
    with pytest.raises(ValueError, match=f"the layer cannot read token by token: {reason}"):
        layer.new_past(1, shared=False)
    if layer.flow.window is None:
        with pytest.raises(ValueError, match="a layer without a window keeps no last tokens; set window"):
            _ = layer.ring
