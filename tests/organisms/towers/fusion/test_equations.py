"""Each fusion against its equation, written once more for one position, and in its limits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from organisms.towers.fusion.attention import AttentionFusion
from organisms.towers.fusion.cantor import CantorScaleFusion, cantor_scales
from organisms.towers.fusion.concat import ConcatFusion
from organisms.towers.fusion.gated import GatedFusion
from organisms.towers.fusion.sum import SumFusion
from organisms.towers.fusion.tree import HierarchicalTreeGating, balanced
from tests.organisms.towers.fusion.fusions import fusion, opinions


def dot(a, b):
    return math.fsum((a * b).tolist())


def softmax(logits):
    odds = [math.exp(each) for each in logits]
    return [each / math.fsum(odds) for each in odds]


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def score(made, o):
    hidden = F.gelu(made.read @ o + made.read_bias)
    return dot(made.score[0], hidden)


def adaptive(made, rows):
    return softmax([score(made, o) + float(c) for o, c in zip(rows, made.prior, strict=True)])


def gated(made, rows):
    return [sigmoid(dot(a, o) + float(b)) for a, o, b in zip(made.gate, rows, made.bias, strict=True)]


def binding(made, rows):
    odds = [
        sigmoid(dot(u, o) + float(t)) * math.exp(score(made.scored, o) + float(beta))
        for u, o, t, beta in zip(made.visible, rows, made.visible_bias, made.boost, strict=True)
    ]
    return [each / sum(odds) for each in odds]


def cantor(made, rows):
    places = [
        sigmoid(dot(a, o) + float(b)) for a, o, b in zip(made.place, rows, made.place_bias, strict=True)
    ]
    levels = range(len(made.scale))
    return softmax(
        [sum(float(made.scale[n]) * math.cos(math.pi * 3**n * t) ** 2 for n in levels) for t in places]
    )


@torch.no_grad()
@pytest.mark.parametrize("definition", [adaptive, gated, binding, cantor], ids=lambda each: each.__name__)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_weights_are_those_of_the_equation(definition, count):
    made, whole = fusion(definition.__name__, count), opinions(count)
    found = made.weights(torch.stack(whole))
    for position in range(5):
        expected = definition(made, [each[position] for each in whole])
        assert found[:, position].tolist() == pytest.approx(expected, rel=1e-9)


@torch.no_grad()
def test_concat_is_a_sum_of_projections_of_each_and_may_have_another_width():
    made, whole = fusion("concat", out_features=4), opinions()
    expected = sum(each @ w.T for each, w in zip(whole, made.project.chunk(3, 1), strict=True)) + made.bias
    torch.testing.assert_close(made(*whole), expected)


@torch.no_grad()
def test_attention_is_torchs_own_with_the_mean_as_query():
    made, whole = fusion("attention", num_heads=2), opinions()
    reference = torch.nn.MultiheadAttention(6, 2, bias=False, batch_first=True, dtype=torch.float64)
    reference.in_proj_weight.copy_(torch.cat([made.query, made.key, made.value]))
    reference.out_proj.weight.copy_(made.write)
    stack = torch.stack(whole, 1)
    expected, _ = reference(stack.mean(1, keepdim=True), stack, stack)
    torch.testing.assert_close(made(*whole), expected.squeeze(1))


def test_untrained_sum_is_the_mean_and_a_gate_begins_near_it():
    whole = [each.float() for each in opinions()]
    torch.testing.assert_close(SumFusion("f", 3, 6)(*whole), torch.stack(whole).mean(0))
    made = GatedFusion("f", 3, 6)
    torch.nn.init.zeros_(made.gate)
    torch.testing.assert_close(made(*whole), torch.stack(whole).sum(0) / 4)


@torch.no_grad()
def test_gates_are_shut_and_opened_one_by_one():
    made, whole = fusion("gated"), opinions()
    made.gate.zero_()
    made.bias.copy_(torch.tensor([100.0, -100.0, 100.0]))
    torch.testing.assert_close(made(*whole), whole[0] + whole[2])
    made.bias.fill_(-800)
    assert not made(*whole).any()


@torch.no_grad()
@pytest.mark.parametrize("strategy", ["adaptive", "binding"])
def test_a_tower_of_overwhelming_prior_speaks_alone(strategy):
    made, whole = fusion(strategy), opinions()
    (made.prior if strategy == "adaptive" else made.boost)[1] = 900
    torch.testing.assert_close(made(*whole), whole[1])


@torch.no_grad()
def test_a_masked_opinion_leaves_the_proportions_of_the_others_and_may_hold_anything():
    made, whole = fusion("binding"), opinions()
    full, mask = made.weights(torch.stack(whole)), torch.tensor([True, False, True])
    lost = (whole[0], torch.full_like(whole[1], math.nan), whole[2])
    shares = made.weights(torch.stack(lost), mask)
    assert not shares[1].any()
    torch.testing.assert_close(shares[0] / shares[2], full[0] / full[2])
    expected = whole[0] * shares[0].unsqueeze(-1) + whole[2] * shares[2].unsqueeze(-1)
    torch.testing.assert_close(made(*lost, mask=mask), expected)
    torch.testing.assert_close(made(*whole, mask=torch.ones(3, dtype=torch.bool)), made(*whole))


def test_masks_are_by_position_too_and_where_all_are_masked_nothing_is_said():
    made, whole = fusion("binding"), [each.requires_grad_() for each in opinions()]
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[:, 2], mask[1, 0] = False, False
    fused = made(*whole, mask=mask)
    assert not fused[2].any()
    torch.testing.assert_close(fused[1], made(*whole)[1])
    fused.sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in (*whole, *made.parameters()))
    assert not whole[1].grad[0].any()


@pytest.mark.parametrize(
    "mask", [torch.ones(3), torch.ones(2, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool)]
)
def test_a_mask_of_another_shape_or_dtype_is_refused(mask):
    with pytest.raises(
        ValueError, match=r"mask of fusion 'fusion' must be torch.bool \[3\] or \[3, 5\] on cpu, but is"
    ):
        fusion("binding")(*opinions(), mask=mask)


@torch.no_grad()
def test_visibility_hides_by_content_and_multiplies_odds():
    made, whole = fusion("binding"), torch.stack(opinions())
    visible, weights = made.visibility(whole), made.weights(whole)
    open_to_all = made.scored.weights(whole) * visible
    torch.testing.assert_close(weights, open_to_all / open_to_all.sum(0))
    made.visible.zero_()
    made.visible_bias.fill_(0.3)  # all equally hidden: as if none was
    torch.testing.assert_close(made.weights(whole), made.scored.weights(whole))


def stage(t, level):
    """Whether t is in a stage of Cantor's construction, by cutting the middle third out of each interval."""
    for _ in range(level):
        t *= 3
        if 1 < t < 2:
            return False
        t -= 2 * (t >= 2)
    return True


@given(st.floats(0, 1), st.integers(1, 6))
def test_scales_are_at_least_a_quarter_exactly_on_the_stages_of_the_cantor_set(t, levels):
    scales = cantor_scales(torch.tensor(t, dtype=torch.float64), levels)
    assert bool(((scales >= 0) & (scales <= 1)).all())
    if (scales - 0.25).abs().min() > 1e-6:  # not where a third begins or ends
        assert bool((scales >= 0.25).all()) == stage(t, levels)


@pytest.mark.parametrize(
    ("t", "expected"), [(0.0, 1), (1.0, 1), (0.5, 0), (0.25, 0.5), (1 / 3, None), (2 / 3, None)]
)
def test_scales_at_ends_middle_a_quarter_and_thirds(t, expected):
    scales = cantor_scales(torch.tensor([t], dtype=torch.float64), 3)[0].tolist()
    wanted = [0.25, 1, 1] if expected is None else [expected] * 3  # 1/4 = 0.0202...: in the set, and no end
    assert scales == pytest.approx(wanted, abs=1e-9)


@torch.no_grad()
def test_without_scales_cantor_is_the_mean():
    made, whole = fusion("cantor"), opinions()
    made.scale.zero_()
    torch.testing.assert_close(made(*whole), torch.stack(whole).mean(0))


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_a_tree_is_its_recursion_and_its_untrained_biases_are_the_mean(count):
    made, whole = fusion("tree", count), opinions(count)
    gates = {(node.first, node.last): at for at, node in enumerate(made.nodes)}

    def opinion(first, last):
        if last - first == 1:
            return whole[first]
        at, middle = gates[first, last], (first + last + 1) // 2
        left, right = opinion(first, middle), opinion(middle, last)
        z = torch.cat([left, right], -1) @ made.gate[at] + made.bias[at]
        g = z.sigmoid().unsqueeze(-1)
        return g * left + (1 - g) * right

    assert len(gates) == count - 1
    torch.testing.assert_close(made(*whole), opinion(0, count))
    fresh = HierarchicalTreeGating("f", count, 6)
    torch.nn.init.zeros_(fresh.gate)
    torch.testing.assert_close(fresh.double()(*whole), torch.stack(whole).mean(0), rtol=1e-6, atol=1e-6)


def test_a_tree_is_balanced_and_every_gate_follows_those_below_it():
    for count in range(2, 20):
        seen, depth = {(n, n + 1): 0 for n in range(count)}, math.ceil(math.log2(count))
        for node in balanced(0, count):
            below = [seen[node.first, node.middle], seen[node.middle, node.last]]
            seen[node.first, node.last] = 1 + max(below)
        assert seen[0, count] == depth


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"num_heads of 'f' must divide in_features, 6, but is 4"):
        AttentionFusion("f", 3, 6, num_heads=4)
    with pytest.raises(ValueError, match=r"levels of 'f' must be at most 8, .* not 9"):
        CantorScaleFusion("f", 3, 6, levels=9)
    with pytest.raises(ValueError, match=r"out_features of 'f' must be a whole number from 1 on, but is 0"):
        ConcatFusion("f", 3, 6, out_features=0)
