from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.dispatch.dispatch import DISPATCH
from organisms.experts.dispatch.expert_outputs import COMPUTE, expert_outputs
from tests.organisms.experts.mixtures import by_tokens, routing, some_experts, some_routing
from tests.organisms.layers.definitions import D, drawn, with_gradients

every_mode = pytest.mark.parametrize("mode", DISPATCH)
# Tokens, experts, choices of each, the share that is kept, and whether there is a capacity.
CASES = {
    "dropless": (11, 4, 2, 1.0, False),
    "some dropped": (11, 4, 2, 0.6, True),
    "all dropped": (6, 3, 2, 0.0, True),
    "one choice": (9, 4, 1, 1.0, False),
    "all experts": (5, 4, 4, 0.5, False),
    "one token": (1, 3, 2, 1.0, False),
    "no tokens": (0, 3, 2, 1.0, False),
    "one expert": (5, 1, 1, 1.0, True),
    "more experts than tokens": (3, 8, 2, 1.0, False),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def drawn_case(tokens, number, choices, kept, limit, dtype=torch.float64):
    info = some_routing(tokens, number, choices, kept=kept, limit=limit, dtype=dtype)
    experts, leaves = some_experts(number, dtype=dtype)
    x = drawn(tokens, D, dtype=dtype).requires_grad_()
    return x, info, experts, [x, info.weights, *leaves], drawn(tokens, D, seed=1, dtype=dtype)


def dispatched(mode, x, info, experts, compute="grouped_gemm"):
    return DISPATCH[mode](
        x, info, lambda rows, offsets: expert_outputs(rows, offsets, experts, compute=compute)
    )


@pytest.mark.parametrize("compute", COMPUTE)
@every_mode
@every_case
def test_every_token_gets_the_weighted_outputs_of_its_experts_and_every_gradient(case, mode, compute):
    x, info, experts, leaves, change = drawn_case(*case)
    found = with_gradients(dispatched(mode, x, info, experts, compute), leaves, change)
    if not len(x):
        assert found[0].shape == x.shape
        assert not any(gradient.any() for gradient in found[1:])
        return
    y = by_tokens(x, info, experts, "swiglu") + 0 * sum(leaf.sum() for leaf in leaves)
    wanted = with_gradients(y, leaves, change)
    wanted[2] = wanted[2] * info.kept  # the weight of a dropped choice does not matter
    found[2] = found[2] * info.kept
    for each, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, other)


@every_mode
def test_gradients_are_those_of_finite_differences(mode):
    _, info, experts, leaves, _ = drawn_case(4, 3, 2, 0.7, False)

    def outputs(x, weights, W1, W2, b1, b2):
        mine = type(experts)(W1, W2, b1, b2, experts.activation)
        return dispatched(mode, x, replace(info, weights=weights * info.kept), mine)

    assert torch.autograd.gradcheck(outputs, leaves)


@pytest.mark.parametrize("bits", [torch.float32, torch.bfloat16])
@every_mode
def test_fifty_repeats_give_the_same_bits(mode, bits):
    x, info, experts, leaves, change = drawn_case(64, 4, 2, 0.9, False, bits)
    first = with_gradients(dispatched(mode, x, info, experts), leaves, change)
    for _ in range(49):
        again = with_gradients(dispatched(mode, x, info, experts), leaves, change)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@given(st.integers(1, 12), st.integers(1, 5), st.data())
def test_permuted_tokens_give_permuted_outputs_and_renamed_experts_the_same(tokens, number, data):
    choices = data.draw(st.integers(1, number))
    order = torch.tensor(data.draw(st.permutations(range(tokens))))
    names = torch.tensor(data.draw(st.permutations(range(number))))  # the new name of each expert
    mode = data.draw(st.sampled_from(sorted(DISPATCH)))
    x, info, experts, _, _ = drawn_case(tokens, number, choices, 0.8, False)
    y = dispatched(mode, x, info, experts)

    moved = routing(info.experts[order], info.weights[order], info.kept[order], number)
    torch.testing.assert_close(dispatched(mode, x[order], moved, experts), y[order])

    renamed = routing(names[info.experts], info.weights, info.kept, number)
    old = names.argsort()
    same = type(experts)(
        *(each[old] for each in (experts.W1, experts.W2, experts.b1, experts.b2)), experts.activation
    )
    torch.testing.assert_close(dispatched(mode, x, renamed, same), y)


@every_mode
def test_weights_of_float32_serve_tokens_of_less(mode):
    x, info, experts, _, _ = drawn_case(7, 3, 2, 1.0, False, torch.float32)
    half = type(experts)(
        *(each.bfloat16() for each in (experts.W1, experts.W2, experts.b1, experts.b2)), experts.activation
    )
    found = dispatched(mode, x.bfloat16(), info, half)
    assert found.dtype == torch.bfloat16
    wanted = dispatched(mode, x, info, experts)
    assert (found.float() - wanted).norm() < 0.02 * wanted.norm()
