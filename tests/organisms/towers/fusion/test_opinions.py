import pytest
import torch

from organisms.towers.fusion.adaptive import AdaptiveFusion
from organisms.towers.fusion.opinions import mixed, stacked
from tests.organisms.towers.fusion.fusions import STRATEGY_NAMES, fusion, opinions


def test_opinions_are_stacked_in_their_order_and_mixed_by_weights():
    three = opinions(3, 2, 4)
    stack = stacked("f", three, 3, 6)
    assert torch.equal(stack, torch.stack(three))
    weights = torch.rand(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = sum(each * weight.unsqueeze(-1) for each, weight in zip(three, weights, strict=True))
    torch.testing.assert_close(mixed(stack, weights), expected)


ONE = torch.zeros(5, 6)


@pytest.mark.parametrize("strategy", STRATEGY_NAMES)
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((ONE, ONE), "fusion 'fusion' is made for 3 opinions, but was given 2: pass one of each tower"),
        ((), "is made for 3 opinions, but was given 0"),
        (
            (ONE, torch.zeros(4, 6), ONE),
            r"one shape, .* 0 is .*\[5, 6\] on cpu and number 1 is .*\[4, 6\] on cpu",
        ),
        ((ONE, ONE, ONE.double()), "number 0 is torch.float32 .* and number 2 is torch.float64"),
        ((ONE, ONE, ONE.to("meta")), "number 2 is torch.float32 .* on meta: project them to one shape first"),
        (
            (ONE, ONE, torch.zeros(5, 7)),
            r"must be floating-point \[\.\.\., 6\], as in_features says, but number 2 is",
        ),
        ((ONE, ONE.long(), ONE), "but number 1 is torch.int64"),
        ((ONE, None, ONE), "opinion_1 must be a dense torch.Tensor, but is a NoneType"),
    ],
)
def test_opinions_that_do_not_fit_are_refused_by_every_fusion(strategy, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        fusion(strategy)(*given)


@pytest.mark.parametrize("sizes", [(0, 6), (3, 0), (3, 1.5), (True, 6)])
def test_sizes_are_whole_numbers(sizes):
    with pytest.raises(ValueError, match=r"of 'fusion' must be a whole number from 1 on, but is"):
        AdaptiveFusion("fusion", *sizes)
