import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from runs.errors import ConfigError
from runs.models.keeping import compare as comparing
from runs.models.keeping.compare import BATCHES, apart, compare, flops, milliseconds
from runs.models.keeping.data import given
from runs.models.keeping.side_by_side import table
from runs.models.opening import open_model
from runs.models.options import TransformerOptions
from tests.fixtures.small_models import SYMBOLS, digits, kept, opened, trained


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [
        trained(folder / "dense", (1.0,)),
        kept(folder / "experts", "experts"),
        kept(folder / "other", seed=9),
    ]


@pytest.fixture
def ticking():
    """A clock on which each question takes a second."""
    return partial(next, itertools.count())


def losses_of(path):
    task, model = digits(), open_model(path).model
    with torch.no_grad():
        logits = model(torch.from_numpy(task.test.inputs))
    targets = torch.from_numpy(task.test.targets).long()
    return (
        torch.nn.functional.cross_entropy(logits, targets, reduction="none").double().numpy(),
        logits,
        targets,
    )


def test_losses_scores_and_intervals_are_those_of_the_test_split(models, ticking):
    found = compare(models, clock=ticking)
    each = [losses_of(path) for path in models]
    for one, (losses, logits, targets) in zip(found, each, strict=True):
        assert one.metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
        assert one.metrics["score"] == pytest.approx(float((logits.argmax(1) == targets).double().mean()))
        assert one.parameters == sum(v.numel() for v in open_model(one.path).model.state_dict().values())
        assert one.milliseconds == dict.fromkeys(BATCHES, 1000.0)
    assert found[0].against_first is None
    for one, (losses, _, _) in zip(found[1:], each[1:], strict=True):
        apart_by = losses - each[0][0]
        assert one.against_first.value == pytest.approx(apart_by.mean(), rel=1e-4)
        error = stats.sem(
            apart_by
        )  # of so many examples the interval is nearly that of the normal distribution
        wanted = [apart_by.mean() - 1.96 * error, apart_by.mean() + 1.96 * error]
        assert np.allclose([one.against_first.low, one.against_first.high], wanted, rtol=0, atol=0.25 * error)


def test_a_model_compared_with_itself_shows_no_difference(models, ticking):
    _, again = compare([models[0], models[0]], clock=ticking)
    assert (again.against_first.value, again.verdict) == (0.0, "no difference shown")


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-1.0, "better"), (1.0, "worse"), (0.0, "no difference shown")]
)
def test_a_difference_is_shown_where_the_interval_does_not_hold_zero(models, ticking, shift, verdict):
    rng = np.random.default_rng(0)
    first = rng.exponential(size=200)
    noise = rng.permutation(np.linspace(-0.1, 0.1, 200))
    found = compare(models[:2], clock=ticking)[1]
    assert replace(found, against_first=apart(first + shift + noise, first)).verdict == verdict


def test_validation_is_another_split(models, ticking):
    test, validation = (compare(models[:2], split, clock=ticking) for split in ("test", "validation"))
    assert test[0].metrics["loss"] != validation[0].metrics["loss"]


def test_kinds_of_examples_and_the_metrics_of_the_task_are_shown(signals, ticking):
    found = compare([signals, signals], clock=ticking)
    assert list(found[0].kinds) == ["sine", "spiral"]
    text = table(found, "R2", "test")
    assert "R2 of" in text
    assert "sine" in text
    plain = json.loads(json.dumps([each.plain() for each in found], allow_nan=False))
    assert plain[0]["kinds"]["sine"].keys() == {"loss", "score"}


def test_other_data_may_be_given(models, ticking):
    task = given(["name=digits", "examples=32"])
    assert compare(models[:2], task=task, clock=ticking)[0].metrics["loss"] > 0
    with pytest.raises(
        ConfigError, match=r"the data do not fit .*: their kind is 'token', and that of the model"
    ):
        compare(models[:2], task=given(["name=text"]))


def test_operations_are_those_of_the_matrix_products():
    model = opened("transformer", SYMBOLS)
    D, H, S, V = 16, 24, 7, 6
    options = TransformerOptions(d_model=D, d_hidden=H)
    assert options.activation == "swiglu"
    projections, attention = 4 * D * D, 2 * S * D  # queries, keys, values and outputs; scores and mixtures
    wanted = 2 * S * (projections + attention + 3 * D * H + D * V)
    assert flops(model, torch.zeros(1, S, dtype=torch.int64)) == wanted


def test_time_is_the_median_of_many_passes(monkeypatch):
    monkeypatch.setattr(comparing, "REPETITIONS", 3)
    ends = iter([0, 9, 0, 9, 0, 1, 0, 5, 0, 3])
    model = opened("transformer", SYMBOLS)
    read = []
    model.model.register_forward_pre_hook(lambda module, given: read.append(len(given[0])))
    assert milliseconds(model, torch.zeros(2, 7, dtype=torch.int64), 5, lambda: next(ends)) == 3000.0
    assert read == [5] * 5


def test_models_of_other_tasks_data_and_splits_are_refused(models, signals, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be compared with .*: its kind is 'sequence', not 'class'"):
        compare([models[0], signals])
    other = kept(tmp_path / "other", data={"name": "digits", "examples": 32})
    with pytest.raises(ConfigError, match=r"was trained on other data than .* name the data that both"):
        compare([models[0], other])
    with pytest.raises(ConfigError, match="--split must be one of test, validation, not 'train'"):
        compare(models, "train")
