import pytest
import torch
from torch import nn

from runs.models.fit.step.average import decay_at, update


def test_the_average_is_that_of_its_closed_form():
    model, average = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    values = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = average.weight.detach().double()
    for value in values:
        model.weight.data = value.float()
        model.running_mean += 1
        update(average, model, 0.9)
        expected = 0.9 * expected + 0.1 * value
    assert torch.allclose(average.weight.double(), expected, atol=1e-6)
    assert torch.equal(average.running_mean, model.running_mean)


def test_the_first_steps_count_for_more():
    assert decay_at(0.99, 1) == pytest.approx(2 / 11)
    assert decay_at(0.99, 10_000) == 0.99
