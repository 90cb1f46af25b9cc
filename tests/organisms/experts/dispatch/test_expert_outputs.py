from itertools import accumulate, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.dispatch.expert_outputs import COMPUTE, expert_outputs, part_counts
from tests.organisms.experts.mixtures import expert_output, some_experts
from tests.organisms.layers.definitions import GATED, PLAIN, D, H, drawn, with_gradients

SIZES = {
    "uneven": (3, 1, 7, 2),
    "an expert without rows": (0, 4, 0, 5),
    "all rows in one": (0, 6, 0, 0),
    "one expert": (4,),
    "no rows": (0, 0, 0),
    "even": (3, 3, 3),
}


def by_rows(rows, sizes, experts, activation, keep=None):
    """Go through the rows; `keep` are the factors of hidden activations."""
    of_row = [expert for expert, size in enumerate(sizes) for _ in range(size)]
    if keep is None:
        outputs = [expert_output(row, experts, e, activation) for row, e in zip(rows, of_row, strict=True)]
    else:
        outputs = [
            (experts.activation(row @ experts.W1[e] + experts.b1[e]) * factor) @ experts.W2[e] + experts.b2[e]
            for row, factor, e in zip(rows, keep, of_row, strict=True)
        ]
    return torch.stack(outputs) if outputs else rows + 0 * sum(w.sum() for w in (experts.W1, experts.W2))


@pytest.mark.parametrize("compute", COMPUTE)
@pytest.mark.parametrize("activation", [*PLAIN, *GATED])
@pytest.mark.parametrize("bias", [True, False])
def test_each_row_gets_the_output_of_its_expert_and_so_do_the_gradients(activation, compute, bias):
    sizes = SIZES["uneven"]
    experts, leaves = some_experts(len(sizes), activation, bias=bias)
    rows, change = drawn(sum(sizes), D).requires_grad_(), drawn(sum(sizes), D, seed=1)
    found = expert_outputs(rows, torch.tensor(sizes).cumsum(0), experts, compute=compute)
    wanted = by_rows(rows, sizes, experts, activation)
    leaves = [rows, *leaves]
    for each, other in zip(
        with_gradients(found, leaves, change), with_gradients(wanted, leaves, change), strict=True
    ):
        torch.testing.assert_close(each, other)


@pytest.mark.parametrize("compute", COMPUTE)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_any_sizes_of_groups_are_served_and_an_idle_expert_has_zero_gradients(sizes, compute):
    experts, leaves = some_experts(len(sizes))
    rows, change = drawn(sum(sizes), D).requires_grad_(), drawn(sum(sizes), D, seed=1)
    found = expert_outputs(rows, torch.tensor(sizes).cumsum(0), experts, compute=compute)
    torch.testing.assert_close(found, by_rows(rows, sizes, experts, "swiglu"))
    gradients = torch.autograd.grad(found, leaves, change)
    for expert, size in enumerate(sizes):
        assert all(bool(gradient[expert].any()) is bool(size) for gradient in gradients)


@pytest.mark.parametrize("compute", COMPUTE)
def test_without_offsets_each_expert_has_the_same_number_of_rows(compute):
    experts, _ = some_experts(3)
    rows = drawn(6, D)
    found = expert_outputs(rows, None, experts, compute=compute)
    torch.testing.assert_close(found, by_rows(rows, (2, 2, 2), experts, "swiglu"))


@pytest.mark.parametrize("compute", COMPUTE)
def test_factors_of_hidden_activations_follow_their_rows_into_the_padding(compute):
    sizes = SIZES["uneven"]
    experts, _ = some_experts(len(sizes))
    rows, keep = drawn(sum(sizes), D), drawn(sum(sizes), H, seed=1)
    found = expert_outputs(rows, torch.tensor(sizes).cumsum(0), experts, compute=compute, keep=keep)
    torch.testing.assert_close(found, by_rows(rows, sizes, experts, "swiglu", keep))


@pytest.mark.parametrize("most", [0, 4 * 2 * H, 9 * 2 * H, 13 * 2 * H])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_parts_of_the_experts_change_nothing(sizes, most, monkeypatch):
    experts, leaves = some_experts(len(sizes))
    rows, change = drawn(sum(sizes), D).requires_grad_(), drawn(sum(sizes), D, seed=1)
    keep, offsets = drawn(sum(sizes), H, seed=2), torch.tensor(sizes).cumsum(0)

    def results():
        return with_gradients(expert_outputs(rows, offsets, experts, keep=keep), [rows, *leaves], change)

    wanted = results()
    monkeypatch.setattr("organisms.experts.dispatch.expert_outputs.PART", most)
    for each, other in zip(results(), wanted, strict=True):
        torch.testing.assert_close(each, other)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 30))
def test_parts_hold_as_many_experts_as_fit_and_at_least_one(sizes, most):
    ends = [0, *accumulate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("organisms.experts.dispatch.expert_outputs.PART", most)
        counts = part_counts(ends, 1)
    assert sum(counts) == len(sizes)
    assert min(counts) >= 1
    starts = [0, *accumulate(counts)]
    parts = [sizes[start:stop] for start, stop in pairwise(starts)]
    assert all(sum(part) <= most for part in parts if len(part) > 1)
    assert all(sum(part) + following[0] > most for part, following in pairwise(parts))


@pytest.mark.parametrize("compute", COMPUTE)
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_gradients_are_those_of_finite_differences(activation, compute):
    experts, leaves = some_experts(3, activation)
    rows, offsets = drawn(5, D).requires_grad_(), torch.tensor([2, 2, 5])

    def outputs(rows, W1, W2, b1, b2):
        mine = type(experts)(W1, W2, b1, b2, experts.activation)
        return expert_outputs(rows, offsets, mine, compute=compute)

    assert torch.autograd.gradcheck(outputs, (rows, *leaves))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_the_experts_changes_nothing(sizes, random):
    order = list(range(len(sizes)))
    random.shuffle(order)
    experts, _ = some_experts(len(sizes))
    parts = drawn(sum(sizes), D).split(sizes)
    moved = type(experts)(
        *(None if each is None else each[order] for each in (experts.W1, experts.W2, experts.b1, experts.b2)),
        experts.activation,
    )
    found = expert_outputs(torch.cat(parts), torch.tensor(sizes).cumsum(0), experts)
    other = expert_outputs(
        torch.cat([parts[e] for e in order]), torch.tensor([sizes[e] for e in order]).cumsum(0), moved
    )
    for expert, part in zip(order, other.split([sizes[e] for e in order]), strict=True):
        torch.testing.assert_close(part, found.split(sizes)[expert])
