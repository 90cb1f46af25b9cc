import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.flow.memory import FlowMemoryNetwork
from organisms.flow.writes import written
from organisms.layers.norms import rms_norm
from tests.organisms.layers.definitions import drawn

D, M, T, B = 6, 5, 4, 2


def memory(**given):
    return FlowMemoryNetwork(D, M, 2, **{"block_size": T} | given).double()


def test_a_write_is_that_of_the_equation():
    bank, v = drawn(B, M, D), rms_norm(drawn(B, T, D, seed=1))
    bank[:, 1] = 100.0  # a slot that is near to nothing
    wanted = torch.empty_like(bank)
    for b in range(B):
        nearest = [
            min(range(M), key=lambda m: math.dist(bank[b, m].tolist(), v[b, t].tolist())) for t in range(T)
        ]
        for m in range(M):
            own = [v[b, t] for t in range(T) if nearest[t] == m]
            mean = sum(own) / len(own) if own else bank[b, m]
            wanted[b, m] = 0.7 * bank[b, m] + 0.3 * mean
    torch.testing.assert_close(written(bank, v, 0.7), wanted)


@pytest.mark.parametrize("length", [1, 3, 4, 11])
def test_each_block_reads_what_the_blocks_before_it_wrote(length):
    network, x = memory(), drawn(B, length, D)
    out, metrics = network(x)
    bank = network.memory_bank.expand(B, M, D)
    for start in range(0, length, T):
        block = x[:, start : start + T]
        torch.testing.assert_close(out[:, start : start + T], network.reads(block, bank))
        normed = block / (block.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        bank = written(bank, normed, network.decay)
    torch.testing.assert_close(metrics["memory_state"], bank)


@settings(max_examples=30)
@given(length=st.integers(1, 14), seed=st.integers(0, 99), data=st.data())
def test_a_token_reads_nothing_that_a_later_one_or_another_sequence_wrote(length, seed, data):
    place = data.draw(st.integers(0, length - 1))
    network, x = memory(), drawn(B, length, D, seed=seed)
    other = x.clone()
    other[0, place] = drawn(D, seed=seed + 1)
    (before, first), (after, second) = network(x), network(other)
    assert torch.equal(after[0, :place], before[0, :place])
    assert torch.equal(after[1], before[1])
    assert torch.equal(first["memory_state"][1], second["memory_state"][1])
    assert not torch.equal(first["memory_state"][0], second["memory_state"][0])
    later = (place // T + 1) * T
    if later < length:  # what is written is read
        assert not torch.equal(after[0, later:], before[0, later:])


@settings(max_examples=30)
@given(size=st.floats(0, 1e6), decay=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_no_slot_is_ever_longer_than_a_normed_token(size, decay, seed):
    network = memory(decay=decay)
    _, metrics = network(size * drawn(B, 13, D, seed=seed))
    assert metrics["memory_norm"] <= 1 + 1e-9


def test_writes_are_deterministic_and_outside_of_the_graph():
    network, x = memory(carry_over=True), drawn(B, 11, D).requires_grad_()
    out, metrics = network(x)
    left = network.memory_bank.clone()
    assert not any(each.requires_grad for each in metrics.values())
    assert not network.memory_bank.requires_grad
    assert leaves_of(out) == {id(x), *map(id, network.parameters())}
    # Of the first token nothing flows to where its write is read.
    (gradient,) = torch.autograd.grad(out[:, T:].sum(), x)
    assert not gradient[:, :T].any()
    network.reset_memory()
    assert torch.equal(network.memory_bank, network.initial_bank)
    again, _ = network(x)
    assert torch.equal(again, out)
    assert torch.equal(network.memory_bank, left)


def leaves_of(tensor):
    """What the graph of a tensor gives gradients to."""
    found, waiting, known = set(), [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [each for each, _ in node.next_functions]
    return found


def test_gradients_are_those_of_finite_differences_while_nothing_is_written():
    """While x writes, finite differences would see what the graph leaves out."""
    network, x = memory(), drawn(1, 5, D).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: network(x, update_memory=False)[0], x)


def test_gradients_can_be_asked_for_after_the_bank_was_written():
    network, x = memory(carry_over=True), drawn(B, 6, D)
    out, _ = network(x)
    network(x)
    out.sum().backward()
    assert network.reads.read.grad.any()


def test_a_call_leaves_the_bank_as_it_was_unless_asked():
    x = drawn(B, 11, D)
    for network, update in ((memory(), True), (memory(carry_over=True), False)):
        network(x, update_memory=update)
        assert torch.equal(network.memory_bank, network.initial_bank)
    network = memory(carry_over=True)
    _, metrics = network(x)
    torch.testing.assert_close(network.memory_bank, metrics["memory_state"].mean(0))
    assert not torch.equal(network.memory_bank, network.initial_bank)


def test_a_state_carries_a_sequence_on():
    network, x = memory(), drawn(B, 11, D)
    whole, end = network(x)
    first, half = network(x[:, :8])
    second, last = network(x[:, 8:], state=half["memory_state"])
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(last["memory_state"], end["memory_state"])


def test_the_bank_is_saved():
    network = memory(carry_over=True)
    network(drawn(B, 11, D))
    other = memory(generator=torch.Generator().manual_seed(9))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.memory_bank, network.memory_bank)
    other.reset_memory()
    assert torch.equal(other.memory_bank, network.initial_bank)


def test_what_does_not_fit_is_refused():
    network, x = memory(carry_over=True), drawn(B, 5, D)
    with pytest.raises(ValueError, match=r"x must be \[B, S, 6\], as d_model says"):
        network(drawn(B, 5, D + 1))
    with pytest.raises(ValueError, match=r"state must be torch.float64 \[2, 5, 6\] on cpu, a bank for each"):
        network(x, state=drawn(1, M, D))
    with pytest.raises(ValueError, match="memory_bank would hold what is not finite, because x does"):
        network(x * math.inf)
    assert torch.equal(network.memory_bank, network.initial_bank)
    with pytest.raises(
        ValueError, match=r"^memory_bank is \[4, 6\], the memory of another model: .* \[5, 6\]$"
    ):
        network.load_state_dict(FlowMemoryNetwork(D, 4, 2).state_dict())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"d_model": 0}, "d_model must be a whole number from 1 on, but is 0"),
        ({"memory_size": 0}, "memory_size must be a whole number from 1 on, but is 0"),
        ({"num_memory_heads": 0}, "num_memory_heads must be a whole number from 1 on, but is 0"),
        ({"block_size": 0}, "block_size must be a whole number from 1 on, but is 0"),
        ({"decay": 1.0}, r"decay must be at least 0 and under 1, but is 1\.0"),
        ({"generator": "0"}, "generator must be a torch.Generator of the CPU, .* but is a str"),
    ],
)
def test_memories_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        FlowMemoryNetwork(**{"d_model": D, "memory_size": M, "num_memory_heads": 2} | changed)
