import math

import pytest
import torch
from scipy import stats

from organisms.experts.routing.noise import NOISE
from tests.organisms.experts.small_routers import generator


@pytest.mark.parametrize(("name", "law"), [("gaussian", stats.norm), ("gumbel", stats.gumbel_r)])
def test_noise_follows_its_law_and_its_generator(name, law):
    found = NOISE[name](torch.Size((4000,)), generator(5))
    assert stats.kstest(found.numpy(), law.cdf).pvalue > 0.01
    assert torch.equal(found, NOISE[name](torch.Size((4000,)), generator(5)))


def test_the_largest_of_logits_with_gumbel_noise_is_a_draw_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0]).log_softmax(0)
    noisy = logits + NOISE["gumbel"](torch.Size((20_000, 3)), generator(6))
    counts = torch.bincount(noisy.argmax(1), minlength=3)
    assert stats.chisquare(counts.numpy(), 20_000 * logits.double().softmax(0).numpy()).pvalue > 0.01
    assert math.isfinite(noisy.abs().max())
