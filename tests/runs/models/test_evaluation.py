import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, r2_score
from torch import nn

from runs import tasks
from runs.models.config import DataConfig
from runs.models.evaluation import by_label, examples, measured, outputs
from runs.models.signature import Signature


class Scaled(nn.Module):
    """Its outputs are half of its inputs, and in training nothing."""

    def forward(self, tokens, mask=None, generator=None):
        return tokens * (0.0 if self.training else 0.5), {}


@pytest.fixture(scope="module")
def signals():
    return tasks.load(DataConfig(name="signals", length=8))


def test_outputs_are_those_of_evaluation_and_the_mode_stays():
    model, inputs = Scaled().train(), torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(outputs(model, inputs, batch=3), inputs / 2)
    assert model.training
    assert not outputs(model, inputs.requires_grad_()).requires_grad
    assert not model.eval().training


def test_numbers_are_measured_as_others_do(signals):
    split = signals.validation
    found = outputs(Scaled(), examples(Signature.of(signals), split)[0])
    values = measured(signals, split, found)
    truth, guess = (each.astype(np.float64).reshape(-1, 1) for each in (split.targets, found.numpy()))
    assert values["loss"] == pytest.approx(np.square(truth - guess).mean(), rel=1e-5)
    assert values["score"] == pytest.approx(r2_score(truth, guess), rel=1e-6)
    own = split.labels == 0
    assert values[f"{signals.labels[0]}_mse"] == pytest.approx(
        np.square(split.targets[own] - found.numpy()[own]).mean(), rel=1e-5
    )


def test_each_kind_of_examples_is_measured_alone(signals):
    split = signals.validation
    found = outputs(Scaled(), examples(Signature.of(signals), split)[0])
    values = by_label(signals, split, found)
    assert list(values) == list(signals.labels)
    whole = measured(signals, split, found)["loss"]
    assert np.mean([each["loss"] for each in values.values()]) == pytest.approx(whole, rel=1e-5)
    own = split.labels == 1
    truth, guess = (each[own].astype(np.float64).reshape(-1, 1) for each in (split.targets, found.numpy()))
    assert values[signals.labels[1]]["score"] == pytest.approx(r2_score(truth, guess), rel=1e-5)


def test_classes_are_measured_as_others_do():
    task = tasks.load(DataConfig(name="digits"))
    split = task.validation
    logits = torch.randn(len(split), 10, generator=torch.Generator().manual_seed(0))
    values = measured(task, split, logits)
    assert values["score"] == accuracy_score(split.targets, logits.argmax(-1))
    assert values["loss"] == pytest.approx(log_loss(split.targets, logits.double().softmax(-1)), rel=1e-5)
    assert by_label(task, split, logits) == {}


def test_symbols_are_whole_numbers():
    task = tasks.load(DataConfig(name="text", length=8, examples=4))
    inputs, targets = examples(Signature.of(task), task.train)
    assert (inputs.dtype, targets.dtype, inputs.shape) == (torch.int64, torch.int64, (4, 8))
