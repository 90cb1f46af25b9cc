import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.flow.flow_layer import FlowLayer, FlowPlan
from tests.organisms.flow.naive_flow import naive_flow
from tests.organisms.layers.definitions import drawn

D, OUT, B = 6, 5, 2


def new_layer(*, seed=1, **given):
    options = {"base_sparsity": 0.4, "num_channels": 3, "reduced_dim": 4} | given
    layer = FlowLayer(D, OUT, 5, generator=torch.Generator().manual_seed(seed), **options).double()
    with torch.no_grad():  # at the start every intensity is 1
        layer.intensity.copy_(drawn(3, D, seed=7))
    return layer


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("reduced_dim", [1, 3, 4])
def test_the_matrix_is_that_of_the_equation(causal, window, reduced_dim):
    layer = new_layer(causal=causal, window=window, reduced_dim=reduced_dim)
    x = drawn(B, 7, D)
    flow, _ = layer(x)
    torch.testing.assert_close(flow.detach(), naive_flow(layer, x))


def test_a_plan_limits_reach_and_positions():
    layer, x = new_layer(causal=True, window=6), drawn(B, 9, D)
    plan = FlowPlan(drawn(B, 9, seed=3).abs() * 3, drawn(B, 9, seed=4).abs() * 2)
    flow, _ = layer(x, plan=plan)
    torch.testing.assert_close(flow.detach(), naive_flow(layer, x, *plan))


@pytest.mark.parametrize("length", [1, 32, 128, 512, 2048])
@pytest.mark.parametrize("window", [None, 24])
def test_applied_flow_is_that_of_its_matrix(length, window):
    layer, x = new_layer(causal=True, window=window, base_sparsity=0.05), drawn(1, length, D)
    matrix, metrics = layer(x)
    moved, same = layer(x, materialize=False)
    torch.testing.assert_close(moved, layer.apply_flow(matrix, x))
    torch.testing.assert_close(metrics, same)
    assert bool((matrix.ne(0).sum(-1) <= layer.positions_of(length)).all())


@settings(max_examples=40)
@given(
    length=st.integers(2, 40),
    window=st.none() | st.integers(1, 45),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_a_change_of_a_token_changes_nothing_before_it_nor_beyond_its_window(length, window, seed, data):
    place = data.draw(st.integers(0, length - 1))
    layer, x = new_layer(causal=True, window=window), drawn(B, length, D, seed=seed)
    other = x.clone()
    other[0, place] += 10 * drawn(D, seed=seed + 1)
    before, after = layer(x, materialize=False)[0], layer(other, materialize=False)[0]
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=0)
    assert torch.equal(after[0, :place], before[0, :place])
    if window is not None:
        assert torch.equal(after[0, place + window :], before[0, place + window :])
    assert not torch.equal(after[0, place], before[0, place])


@pytest.mark.long
@pytest.mark.parametrize("materialize", [True, False])
def test_gradients_are_those_of_finite_differences(materialize):
    layer, x = new_layer(causal=True, window=4), drawn(1, 5, D).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def computed(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, given, (x,), {"materialize": materialize})[0]

    leaves = [each.detach().clone().requires_grad_() for each in layer.parameters()]
    assert torch.autograd.gradcheck(computed, (x, *leaves))


def test_gradients_of_the_two_forms_agree():
    layer, x, change = new_layer(window=8), drawn(B, 20, D), drawn(B, 20, OUT, seed=5)
    applied = torch.autograd.grad((layer(x, materialize=False)[0] * change).sum(), list(layer.parameters()))
    whole = torch.autograd.grad((layer.apply_flow(layer(x)[0], x) * change).sum(), list(layer.parameters()))
    torch.testing.assert_close(applied, whole)


def test_metrics_describe_the_matrix():
    layer, x = new_layer(causal=True, window=6), drawn(B, 12, D)
    matrix, metrics = layer(x)
    p = matrix / matrix.sum(-1, keepdim=True)
    places = torch.arange(12.0, dtype=torch.float64)
    away = (places[:, None] - places).abs()
    middle = (p * places).sum(-1, keepdim=True)
    wanted = {
        "flow_span": (p * away).sum(-1),
        "flow_locality": (p * (places - middle).square()).sum(-1).sqrt(),
        "flow_positions": 1 / p.square().sum(-1),
        "flow_intensity": matrix.sum(-1),
    }
    for name, rows in wanted.items():
        torch.testing.assert_close(metrics[name], rows.mean((0, 2)))
        assert not metrics[name].requires_grad
    assert metrics["pattern_utilization"].sum() == pytest.approx(1)
    assert metrics["pattern_utilization"].gt(0).sum() > 2
    assert 0 < metrics["pattern_entropy"] < 0.7  # of two patterns: at most log 2


def test_what_is_kept_for_gradients_grows_with_the_length():
    """Positions are chosen among all, yet nothing of S x S is saved."""
    layer = new_layer(causal=True, top_k=4)

    def kept(length):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each: sizes.append(each.numel()) or each, lambda each: each
        ):
            layer(drawn(1, length, D), materialize=False)
        return sum(sizes)

    assert kept(1024) < 4.2 * kept(256)


def test_parameters_are_those_of_the_generator_or_of_seed_0():
    first, second = FlowLayer(D, OUT, 3), FlowLayer(D, OUT, 3, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(
        FlowLayer(D, OUT, 3, generator=torch.Generator().manual_seed(1)).mixer, first.mixer
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input_dim": 0}, "input_dim must be a whole number from 1 on, but is 0"),
        ({"output_dim": 1.5}, r"output_dim must be a whole number, but is 1\.5"),
        ({"num_patterns": -1}, "num_patterns must be a whole number from 1 on, but is -1"),
        ({"base_sparsity": 0.0}, r"base_sparsity must be over 0 and at most 1, but is 0\.0"),
        ({"window": 0}, "window must be a whole number from 1 on, but is 0"),
        ({"top_k": 0}, "top_k must be a whole number from 1 on, but is 0"),
        ({"generator": 0}, "generator must be a torch.Generator of the CPU, .* but is a int"),
    ],
)
def test_layers_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        FlowLayer(**{"input_dim": D, "output_dim": OUT, "num_patterns": 3} | changed)


def test_what_does_not_fit_is_refused():
    layer, x = new_layer(), drawn(B, 4, D)
    with pytest.raises(ValueError, match=r"x must be \[B, S, 6\], as input_dim says"):
        layer(drawn(B, 4, D + 1))
    with pytest.raises(ValueError, match="x must hold at least one sequence of one token"):
        layer(drawn(B, 0, D))
    with pytest.raises(ValueError, match=r"reach of plan must be torch.float64 \[2, 4\] on cpu"):
        layer(x, plan=FlowPlan(drawn(B, 3), drawn(B, 4)))
    with pytest.raises(ValueError, match=r"flow_matrix must be \[2, 3, 4, 4\] for this x"):
        layer.apply_flow(drawn(B, 2, 4, 4), x)
    with pytest.raises(ValueError, match=r"x asks for a result of shape .* GiB"):
        layer(drawn(1, 1, D).expand(1, 2**16, D))
