import copy
import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.pseudopods.tube_network import TubeNetwork
from tests.organisms.layers.definitions import drawn

B, D, M = 3, 4, 3


def naive(steps, decay, capacity, exponent=1.0, thinnest=0.01):
    """One sequence, by the equations: [(data, weight or None to only recall)] to what each recall returns."""
    tubes, recalled = [], []
    for data, weight in steps:
        if weight is not None:
            for tube in tubes:
                tube["D"] = decay * tube["D"] + (1 - decay) * tube["Q"] ** exponent
                tube["Q"] = 0.0
            tubes = [{"D": weight, "Q": 0.0, "x": data}, *(tube for tube in tubes if tube["D"] >= thinnest)]
            tubes = [tube for tube in tubes if tube["D"] > 0]
            tubes = sorted(tubes, key=lambda tube: -tube["D"])[:capacity]
        else:
            total = sum(tube["D"] for tube in tubes)
            for tube in tubes:
                tube["Q"] = tube["D"] / total
            recalled.append(sum((tube["Q"] * tube["x"] for tube in tubes), torch.zeros_like(data)))
    return recalled


@settings(max_examples=60)
@given(
    weights=st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.05, 0.5, 1.0, 2.0])), max_size=14),
    decay=st.sampled_from([0.0, 0.3, 0.9]),
    capacity=st.integers(1, 4),
    exponent=st.sampled_from([1.0, 0.5, 2.0]),
)
def test_it_does_what_the_equations_say(weights, decay, capacity, exponent):
    network = TubeNetwork(decay, capacity, exponent=exponent)
    data = drawn(len(weights) + 1, B, D)
    steps, found = [(data[-1], 1.0)], []
    network.store(data[-1])
    for weight, each in zip([*weights, None], data, strict=True):
        if weight is None:
            found.append(network.recall())
        else:
            network.store(each, weight)
        steps.append((each, weight))
    for b in range(B):
        wanted = naive([(each[b], weight) for each, weight in steps], decay, capacity, exponent)
        torch.testing.assert_close(torch.stack(found)[:, b], torch.stack(wanted))


def test_before_the_first_store_and_after_clearing_there_is_nothing():
    network = TubeNetwork(0.9, M)
    assert network.recall() is None
    network.store(drawn(B, D))
    assert torch.equal(network.recall(), drawn(B, D))
    network.clear()
    assert network.recall() is None
    network.store(drawn(B + 1, 2, D))  # of another shape


def test_a_tube_that_is_used_outlives_one_that_is_not():
    used, unused = TubeNetwork(0.5, M), TubeNetwork(0.5, M)
    for network in (used, unused):
        network.store(drawn(B, D))
        for _ in range(10):
            network.store(drawn(B, D, seed=1), 0.0)
            if network is used:
                network.recall()
    torch.testing.assert_close(used.recall(), drawn(B, D))
    assert not unused.recall().any()


def test_a_query_finds_what_fits_it_and_the_tube_thickens():
    network = TubeNetwork(0.5, 4)
    for unit in torch.eye(4, dtype=torch.float64):
        network.store(unit.expand(1, 4))
    looked_for = 100 * torch.eye(4, dtype=torch.float64)[1:2]
    torch.testing.assert_close(network.recall(looked_for), torch.eye(4, dtype=torch.float64)[1:2])
    network.store(torch.zeros(1, 4, dtype=torch.float64), 0.0)
    assert network.content[0, 0].tolist() == [0, 1, 0, 0]


def test_each_sequence_has_tubes_of_its_own():
    data, network, alone = drawn(5, 2, D), TubeNetwork(0.7, M), TubeNetwork(0.7, M)
    for step, each in enumerate(data):
        weight = torch.tensor([0.3, step + 1.0], dtype=torch.float64)
        network.store(each, weight)
        alone.store(each[1:], weight[1:])
        assert torch.equal(network.recall()[1:], alone.recall())


@pytest.mark.parametrize("truncation", [0, 1, 2, 5])
def test_gradients_reach_the_last_stores_and_no_others(truncation):
    network = TubeNetwork(0.9, 8, truncation=truncation)
    data = [drawn(B, D, seed=seed).requires_grad_() for seed in range(4)]
    weights = [torch.full((B,), 1.0 + seed, dtype=torch.float64, requires_grad=True) for seed in range(4)]
    for each, weight in zip(data, weights, strict=True):
        network.store(each, weight)
        recalled = network.recall()
    assert recalled.requires_grad == (truncation > 0)
    if truncation:
        recalled.square().sum().backward()
    reached = [each.grad is not None and bool(each.grad.any()) for each in data]
    assert reached == [place >= 4 - truncation for place in range(4)]
    assert [each.grad is not None and bool(each.grad.any()) for each in weights] == reached


def test_gradients_are_those_of_finite_differences():
    network_of = lambda: TubeNetwork(0.9, 2, truncation=3)  # noqa: E731

    def recalled(a, b, weight, query):
        network = network_of()
        network.store(a, 1.0)
        network.store(b, weight)
        return network.recall(query)

    leaves = [drawn(2, D, seed=seed).requires_grad_() for seed in range(2)]
    weight = torch.tensor([0.7, 1.3], dtype=torch.float64, requires_grad=True)
    query = drawn(2, D, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(recalled, (*leaves, weight, query))


def test_no_more_of_the_graph_is_held_than_the_last_stores():
    """What was stored before is let go of: nothing else could keep memory flat over a long stream."""
    import weakref

    network, held = TubeNetwork(0.9, 8, truncation=2), []
    for seed in range(5):
        stored = drawn(B, D, seed=seed).requires_grad_() * 1
        held.append(weakref.ref(stored))
        network.store(stored)
        network.recall()
        del stored
    assert [ref() is not None for ref in held] == [False, False, False, True, True]


def filled(**given):
    network = TubeNetwork(0.8, M, **given)
    for seed in range(5):
        network.store(drawn(B, D, seed=seed).requires_grad_(), 1.0 + seed % 2)
        network.recall()
    return network


def loaded(network):
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    other = TubeNetwork(0.8, M)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other


@pytest.mark.parametrize("copied", [copy.deepcopy, loaded], ids=["deepcopy", "state_dict"])
def test_a_copy_goes_on_as_the_memory_would(copied):
    network = filled()
    other = copied(network)
    for seed in (7, 8):
        for each in (network, other):
            each.store(drawn(B, D, seed=seed), 0.9)
        assert torch.equal(network.recall(), other.recall())


def test_it_is_moved_as_a_module_and_an_empty_state_empties_it():
    network = filled().half()
    assert network.content.dtype == network.recall().dtype == torch.float16
    network.load_state_dict(TubeNetwork(0.8, M).state_dict())
    assert network.recall() is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decay": 1.0}, r"^decay must be at least 0 and under 1, but is 1\.0$"),
        ({"decay": math.nan}, r"^decay must be at least 0 and under 1, but is nan$"),
        ({"capacity": 0}, "^capacity must be a whole number from 1 on, but is 0$"),
        ({"exponent": -1.0}, r"^exponent must be a number from 0 on, but is -1\.0$"),
        ({"thinnest": -0.1}, r"^thinnest must be a number from 0 on, but is -0\.1$"),
        ({"truncation": -1}, "^truncation must be a whole number from 0 on, but is -1$"),
    ],
)
def test_memories_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        TubeNetwork(**{"decay": 0.9, "capacity": M} | changed)


@pytest.mark.parametrize(
    ("data", "weight", "message"),
    [
        (
            drawn(B, D + 1),
            1.0,
            r"^data must be torch.float64 \[3, 4\] on cpu, as what the tubes hold, but is .*\[3, 5\]",
        ),
        (
            drawn(B - 1, D),
            1.0,
            r"^data must be torch.float64 \[3, 4\] on cpu, .* clear\(\) makes room for others$",
        ),
        (drawn(B, D).float(), 1.0, "^data must be torch.float64 .* but is torch.float32"),
        (torch.ones(B, D, dtype=torch.long), 1.0, "^data must be floating-point .* but is torch.int64"),
        ([1.0], 1.0, "^data must be a dense torch.Tensor, but is a list$"),
        (drawn(B, D), -0.5, r"^weight must be a number from 0 on, but is -0\.5$"),
        (drawn(B, D), math.inf, "^weight must be a number from 0 on, but is inf$"),
        (
            drawn(B, D),
            torch.tensor([1.0, -2.0, 1.0]),
            "^weight must hold numbers from 0 on, but holds -2 to 1$",
        ),
        (drawn(B, D), torch.ones(B, 1), r"^weight must be a number, or \[3\] on cpu, .* \[3, 1\]"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_changes_nothing(data, weight, message):
    network = filled()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        network.store(data, weight)
    with pytest.raises(ValueError, match=r"^query must be torch.float64 \[3, 4\]"):
        network.recall(drawn(B, D + 1))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_tubes_of_another_memory_are_refused():
    network = TubeNetwork(0.8, M + 1)
    with pytest.raises(
        ValueError, match=r"^content, conductance and flux must be .* M = 4, the capacity, but are"
    ):
        network.load_state_dict(filled().state_dict())
    part = filled().state_dict()
    del part["flux"]
    with pytest.raises(ValueError, match=r"but are .*, None$"):
        TubeNetwork(0.8, M).load_state_dict(part)
