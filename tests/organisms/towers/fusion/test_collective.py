import pytest
import torch

from organisms.towers.fusion.adaptive import AdaptiveFusion
from organisms.towers.fusion.builder import STRATEGIES, FusionBuilder
from organisms.towers.fusion.collective import FusionCollective
from organisms.towers.fusion.gated import GatedFusion
from tests.organisms.towers.fusion.fusions import STRATEGY_NAMES, moved, opinions


def collective(*strategies):
    builder = FusionBuilder("fusion", 3, 6)
    for each in strategies:
        builder = builder.add(each)
    return builder.build().double()


@pytest.mark.parametrize("strategy", STRATEGY_NAMES)
def test_one_strategy_builds_the_fusion_itself(strategy):
    built = collective(strategy)
    assert type(built) is STRATEGIES[strategy]
    assert (built.name, built.num_inputs, built.in_features) == ("fusion", 3, 6)


def test_a_builder_passes_options_and_seed_on_and_is_not_changed_by_what_is_built_of_it():
    begun = FusionBuilder("fusion", 3, 6, seed=5)
    built = begun.add("attention", num_heads=3).build()
    assert built.num_heads == 3
    assert torch.equal(built.query, STRATEGIES["attention"]("fusion", 3, 6, seed=5).query)
    assert begun.chosen == ()


def test_several_strategies_begin_as_their_mean_and_are_blended_by_learnt_weights():
    made, whole = collective(*STRATEGY_NAMES), opinions()
    each = torch.stack([made(*whole, strategy=name) for name in STRATEGY_NAMES])
    torch.testing.assert_close(made(*whole), each.mean(0))
    moved(made)
    each = torch.stack([made.fusions[name](*whole) for name in STRATEGY_NAMES])
    expected = (made.preference.softmax(0).view(-1, 1, 1) * each).sum(0)
    torch.testing.assert_close(made(*whole), expected)
    made(*whole).square().sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in made.parameters())


def test_a_strategy_can_be_selected_by_name_or_as_the_best():
    made, whole = collective("adaptive", "gated", "sum"), opinions()
    assert made.best == "adaptive"
    with torch.no_grad():
        made.preference[1] = 1
    assert made.best == "gated"
    torch.testing.assert_close(made(*whole, strategy="best"), made.fusions["gated"](*whole))
    with pytest.raises(
        ValueError, match=r"strategy is 'gatd', but must be one of blend, best, .*; did you mean 'gated'"
    ):
        made(*whole, strategy="gatd")


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r"fusion 'fusion' has no strategy: add one of adaptive, gated"):
        FusionBuilder("fusion", 3, 6).build()
    with pytest.raises(ValueError, match=r"strategy is 'lerp', but must be one of adaptive"):
        FusionBuilder("fusion", 3, 6).add("lerp")
    with pytest.raises(ValueError, match=r"strategy 'sum' is in fusion 'fusion' already"):
        FusionBuilder("fusion", 3, 6).add("sum").add("sum")
    with pytest.raises(ValueError, match=r"num_heads of 'fusion' must divide"):
        FusionBuilder("fusion", 3, 6).add("attention", num_heads=4).build()


def test_fusions_of_a_collective_have_one_size_and_names_that_select_them():
    adaptive, wide = AdaptiveFusion("a", 3, 6), GatedFusion("b", 4, 6)
    with pytest.raises(ValueError, match=r"'one' has \(3, 6, 6\) and 'other' \(4, 6, 6\)"):
        FusionCollective("all", {"one": adaptive, "other": wide})
    with pytest.raises(ValueError, match=r"must have at least one fusion"):
        FusionCollective("all", {})
    with pytest.raises(ValueError, match=r"no fusion of 'all' may be named 'best'"):
        FusionCollective("all", {"best": adaptive})
    with pytest.raises(ValueError, match=r"'concat' \(3, 6, 4\)"):
        FusionBuilder("f", 3, 6).add("sum").add("concat", out_features=4).build()
