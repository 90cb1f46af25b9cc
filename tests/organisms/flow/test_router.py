import pytest
import torch

from organisms.flow.flow_layer import FlowLayer
from organisms.flow.router import ContextAwareFlowRouter, window_mean
from tests.organisms.layers.definitions import drawn

D, B, S = 6, 2, 11


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [1, 4, 30])
def test_the_context_is_the_mean_of_the_window(window, causal):
    x = drawn(B, S, D)
    wanted = torch.stack(
        [x[:, max(0, t - window + 1) : (t + 1 if causal else t + window)].mean(1) for t in range(S)], 1
    )
    torch.testing.assert_close(window_mean(x, window, causal), wanted)


def test_the_context_of_a_long_sequence_keeps_its_digits():
    x = 1000 + drawn(1, 2048, 1)
    exact = window_mean(x.float().double(), 3, True)
    torch.testing.assert_close(window_mean(x.float(), 3, True).double(), exact, rtol=3e-7, atol=0)
    x[:, 0] = torch.inf
    assert window_mean(x, 3, True)[:, 3:].isfinite().all()


def test_a_plan_is_that_of_the_equation_and_within_the_sizes_of_the_layer():
    router = ContextAwareFlowRouter(D, window=8, base_sparsity=0.3, causal=True).double()
    x = 5 * drawn(B, S, D)
    plan, metrics = router(x)
    shares = torch.sigmoid(torch.cat([x, window_mean(x, 8, True)], -1) @ router.weight.T + router.bias)
    torch.testing.assert_close(plan.reach, 8 * shares[..., 0])
    torch.testing.assert_close(plan.positions, 3 * shares[..., 1])
    assert FlowLayer(D, D, 2, 0.3, window=8).positions_of(S) == 3
    assert metrics["router_reach"] == plan.reach.mean()
    assert metrics["router_positions"] == plan.positions.mean()


def test_a_plan_is_learned():
    stream = torch.Generator().manual_seed(0)
    router = ContextAwareFlowRouter(D, window=8, base_sparsity=0.5, causal=True, generator=stream).double()
    layer = FlowLayer(D, D, 4, 0.5, window=8, causal=True, generator=stream).double()
    with torch.no_grad():
        router.bias.fill_(0.0)  # half of the window: distances on both sides
    x = drawn(B, S, D)

    def computed(weight, bias):
        plan, _ = torch.func.functional_call(router, {"weight": weight, "bias": bias}, (x,))
        return layer(x, materialize=False, plan=plan)[0]

    leaves = [each.detach().clone().requires_grad_() for each in (router.weight, router.bias)]
    assert torch.autograd.gradcheck(computed, leaves)
    both = torch.autograd.grad(computed(*leaves).square().sum(), leaves)
    assert bool((both[0].abs().sum(1) > 1e-6).all())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input_dim": 0}, "input_dim must be a whole number from 1 on, but is 0"),
        ({"window": 0}, "window must be a whole number from 1 on, but is 0"),
        ({"top_k": 0}, "top_k must be a whole number from 1 on, but is 0"),
        ({"base_sparsity": 1.5}, r"base_sparsity must be over 0 and at most 1, but is 1\.5"),
    ],
)
def test_routers_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        ContextAwareFlowRouter(**{"input_dim": D} | changed)
    with pytest.raises(ValueError, match=r"x must be \[B, S, 6\], as input_dim says"):
        ContextAwareFlowRouter(D)(drawn(B, S, D + 1))
