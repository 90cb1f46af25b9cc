import math

import pytest
import torch

from organisms.contrastive import contrastive, views


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(z, kinds, temperature):
    """Pair by pair."""
    z = [each / each.norm() for each in z]
    losses = []
    for i, one in enumerate(z):
        scores = {k: float(one @ other) / temperature for k, other in enumerate(z) if k != i}
        total = math.log(math.fsum(map(math.exp, scores.values())))
        like = [total - score for k, score in scores.items() if kinds[k] == kinds[i]]
        if like:
            losses.append(math.fsum(like) / len(like))
    return math.fsum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("kinds", [[0, 1, 0, 2, 1, 0], [0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5], [3] * 6])
def test_the_loss_is_that_of_the_definition(kinds, temperature):
    z = drawn(6, 4).requires_grad_(True)
    given = torch.tensor(kinds)
    found = contrastive(z, given, temperature)
    assert found.item() == pytest.approx(by_definition(z.detach(), kinds, temperature), abs=1e-12)
    assert torch.autograd.gradcheck(lambda each: contrastive(each, given, temperature), z)


def test_it_is_least_where_like_ones_are_the_same_and_others_opposed():
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert contrastive(apart, torch.tensor([0, 0, 1, 1]), 0.1) < 1e-6
    assert contrastive(apart, torch.tensor([0, 1, 0, 1]), 0.1) > 10


def test_representations_of_classes_are_means_and_those_of_others_have_two_views():
    x, targets = drawn(3, 5, 4), torch.tensor([1, 0, 1])
    z, kinds = views(x, targets)
    torch.testing.assert_close(z, x.mean(1))
    assert kinds.tolist() == [1, 0, 1]
    z, kinds = views(x, None)
    torch.testing.assert_close(z[:3], (x[:, 0] + x[:, 2] + x[:, 4]) / 3)
    torch.testing.assert_close(z[3:], (x[:, 1] + x[:, 3]) / 2)
    assert kinds.tolist() == [0, 1, 2, 0, 1, 2]
