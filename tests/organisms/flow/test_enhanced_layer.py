import pytest
import torch

from organisms.flow.enhanced_layer import EnhancedFlowLayer
from tests.organisms.layers.definitions import drawn

D, B, S = 12, 2, 9


def new_layer(output_dim=D, **given):
    options = {"window": 5, "base_sparsity": 0.5, "causal": True, "memory_size": 4} | given
    return EnhancedFlowLayer(D, output_dim, 5, 3, **options).double()


@pytest.mark.parametrize("output_dim", [D, 7])
@pytest.mark.parametrize("adaptive", [True, False])
def test_its_parts_stand_beside_one_another(output_dim, adaptive):
    layer = new_layer(output_dim, cross_attention=True, adaptive=adaptive)
    x, context = drawn(B, S, D), drawn(B, 4, D, seed=1)
    h = layer.norm(x)
    plan = layer.router(h)[0] if adaptive else None
    z = x + layer.flow(h, materialize=False, plan=plan)[0]
    z = z + layer.attention(h) + layer.cross(h, context) + layer.memory(h)[0]
    z = z if output_dim == D else z @ layer.project.T
    y, metrics = layer(x, context)
    torch.testing.assert_close(y, z + layer.feed_forward(layer.feed_forward_norm(z)))
    assert {"flow_span", "memory_state"} < set(metrics)
    assert ("router_reach" in metrics) is adaptive


def test_parts_that_are_not_asked_for_have_no_parameters():
    layer = new_layer(self_attention=False, adaptive=False, memory_size=None)
    assert {name.split(".")[0] for name, _ in layer.named_parameters()} == {
        *("norm", "flow", "feed_forward_norm", "feed_forward")
    }
    _, metrics = layer(drawn(B, S, D))
    assert "memory_state" not in metrics


def test_a_token_sees_what_came_right_before_as_its_past():
    layer, x = new_layer(), drawn(B, S, D)
    whole, end = layer(x)
    _, half = layer(x[:, :4])
    y, last = layer(x[:, 4:], past=x[:, :4], state=half["memory_state"])
    torch.testing.assert_close(y, whole[:, 4:])
    torch.testing.assert_close(last["memory_state"], end["memory_state"])


def test_gradients_are_those_of_finite_differences():
    layer, x = new_layer(memory_size=None), drawn(1, 5, D).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x)[0], x)


def test_what_does_not_fit_is_refused():
    layer, x = new_layer(memory_size=None), drawn(B, S, D)
    with pytest.raises(ValueError, match="context is given, but cross_attention is off"):
        layer(x, x)
    with pytest.raises(ValueError, match="context is missing, but cross_attention is on"):
        new_layer(cross_attention=True)(x)
    with pytest.raises(ValueError, match="state is given, but there is no memory; set memory_size"):
        layer(x, state=x)
    with pytest.raises(ValueError, match=r"x must be torch.float64|x must be \[B, S, 12\]"):
        layer(x.float())
    with pytest.raises(ValueError, match="past must hold at least one sequence of one token"):
        layer(x, past=x[:, :0])
    for name in ("num_heads", "hidden_dim", "memory_size"):
        options = {"num_heads": 3, "hidden_dim": 4, "memory_size": 4} | {name: 0}
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 on, but is 0"):
            EnhancedFlowLayer(D, D, 5, **options)
