"""What every fusion keeps to."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.fusion.builder import STRATEGIES
from tests.organisms.towers.fusion.fusions import CONVEX, STRATEGY_NAMES, fusion, moved, opinions

EVERY = pytest.mark.parametrize("strategy", STRATEGY_NAMES)
WEIGHTED = pytest.mark.parametrize("strategy", [*CONVEX[:3], "gated"])


@EVERY
@given(st.integers(1, 5), st.sampled_from([(), (1,), (2, 3), (2, 1, 3), (0,)]))
def test_each_position_is_fused_by_itself_whatever_the_shape(strategy, count, shape):
    whole, made = opinions(count, *shape) if shape else opinions(count, 1), fusion(strategy, count)
    if not shape:
        whole = tuple(each[0] for each in whole)
    fused = made(*whole)
    assert fused.shape == whole[0].shape
    flat = [each.reshape(-1, 6) for each in whole]
    for position, row in enumerate(fused.reshape(-1, 6)):
        torch.testing.assert_close(made(*(each[position] for each in flat)), row)


@EVERY
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_gradients_to_opinions_and_parameters_are_right(strategy, count):
    made, given_ = fusion(strategy, count, width=4), opinions(count, 2, width=4)
    names, values = zip(*made.named_parameters(), strict=True)

    def fused(*tensors):
        parameters = dict(zip(names, tensors, strict=False))
        return torch.func.functional_call(made, parameters, tensors[len(names) :])

    tensors = [each.detach().requires_grad_() for each in (*values, *given_)]
    assert torch.autograd.gradcheck(fused, tensors)


@EVERY
def test_every_parameter_learns(strategy):
    made = fusion(strategy)
    made(*opinions()).square().sum().backward()
    assert [name for name, each in made.named_parameters() if each.grad is None or not each.grad.any()] == (
        []
    )


@pytest.mark.parametrize("strategy", CONVEX)
@given(st.integers(1, 5), st.integers(0, 99))
def test_a_convex_fusion_lies_between_its_opinions(strategy, count, seed):
    whole = opinions(count, seed=seed)
    fused, stack = fusion(strategy, count)(*whole), torch.stack(whole)
    assert bool((fused <= stack.amax(0) + 1e-9).all())
    assert bool((fused >= stack.amin(0) - 1e-9).all())
    torch.testing.assert_close(fusion(strategy, count)(*[whole[0]] * count), whole[0])


@WEIGHTED
def test_the_fusion_is_the_sum_of_opinions_by_its_weights(strategy):
    made, whole = fusion(strategy), opinions()
    weights = made.weights(torch.stack(whole))
    expected = sum(each * weight.unsqueeze(-1) for each, weight in zip(whole, weights, strict=True))
    torch.testing.assert_close(made(*whole), expected)
    if strategy != "gated":
        torch.testing.assert_close(weights.sum(0), torch.ones(5, dtype=torch.float64))


@EVERY
def test_parameters_belong_to_name_and_seed_and_to_no_generator(strategy):
    state = torch.get_rng_state()
    made = STRATEGIES[strategy]
    first, again, other, seeded = (
        torch.cat([each.flatten() for each in made(name, 3, 6, seed=seed).parameters()])
        for name, seed in (("a", None), ("a", 0), ("b", None), ("a", 1))
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    if strategy != "sum":  # of which nothing is drawn
        assert not torch.equal(first, other)
        assert not torch.equal(first, seeded)


@EVERY
def test_state_round_trips_and_copies_agree(strategy):
    made, whole = fusion(strategy), opinions()
    loaded = moved(fusion(strategy), seed=9)
    assert not torch.equal(loaded(*whole), made(*whole))
    loaded.load_state_dict(made.state_dict())
    for each in (loaded, copy.deepcopy(made)):
        assert torch.equal(each(*whole), made(*whole))


@EVERY
def test_a_fusion_can_be_batched_over_its_own_parameters(strategy):
    """As a stage of towers that are computed together it is: forward and gradients under vmap."""
    many, whole = [fusion(strategy), moved(fusion(strategy))], opinions()
    stacks, _ = torch.func.stack_module_state(many)

    def loss(parameters):
        return torch.func.functional_call(many[0], parameters, whole).square().sum()

    found = torch.func.vmap(torch.func.grad(loss))(stacks)
    for at, each in enumerate(many):
        each(*whole).square().sum().backward()
        for name, parameter in each.named_parameters():
            torch.testing.assert_close(found[name][at], parameter.grad)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_precisions_compute_the_same_within_theirs(strategy, dtype):
    expected, bound = fusion(strategy)(*opinions()), 40 * torch.finfo(dtype).eps
    found = fusion(strategy).to(dtype)(*(each.to(dtype) for each in opinions()))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)
    if dtype == torch.bfloat16:
        with torch.autocast("cpu", dtype=dtype):
            found = fusion(strategy).float()(*(each.float() for each in opinions()))
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("strategy", ["adaptive", "attention"])
def test_the_order_of_towers_is_no_matter_where_none_is_preferred(strategy):
    made, whole = fusion(strategy), opinions()
    if strategy == "adaptive":
        torch.nn.init.zeros_(made.prior)
    torch.testing.assert_close(made(*whole[::-1]), made(*whole))


def test_where_towers_have_parameters_of_their_own_these_are_permuted_along():
    order, whole = [2, 0, 1], opinions()
    own = {
        "adaptive": ["prior"],
        "gated": ["gate", "bias"],
        "sum": ["weight"],
        "binding": ["scored.prior", "visible", "visible_bias"],
        "cantor": ["place", "place_bias"],
    }
    for strategy, names in own.items():
        made = fusion(strategy)
        state = {name: each[order] if name in names else each for name, each in made.state_dict().items()}
        permuted = fusion(strategy)
        permuted.load_state_dict(state)
        torch.testing.assert_close(permuted(*(whole[at] for at in order)), made(*whole))
