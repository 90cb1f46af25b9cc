import os
import shutil

import pytest
import torch

from runs.errors import ConfigError, RunError
from runs.models.evaluation import outputs
from runs.models.opening import best_step, checkpoint_of, kind_of, open_model, steps
from runs.models.signature import Signature
from tests.fixtures.small_models import digits, kept, model, trained


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Its second checkpoint is the best."""
    return trained(tmp_path_factory.mktemp("models") / "training")


def test_a_training_opens_as_its_checkpoint_of_the_least_loss(training):
    opened = open_model(training)
    assert opened.description["path"] == str(training / "checkpoints/step-00000002")
    assert opened.description["metrics"] == {"step": 2, "loss": 1.5, "score": 0.1}
    again = open_model(training / "checkpoints/step-00000002")
    assert again.description == opened.description
    inputs = torch.from_numpy(digits().test.inputs[:9])
    wanted = outputs(model("transformer", opened.signature, 2), inputs)
    assert torch.equal(opened.model(inputs), wanted)


def test_a_run_opens_as_its_best_network(signals):
    opened = open_model(signals)
    assert (kind_of(signals), opened.description["kind"], opened.any_length) == ("run", "run", False)
    assert opened.description["architecture"] == "experts"
    assert opened.signature.per_position
    assert set(opened.description["metrics"]) == {"loss", "score"}


def test_of_equal_losses_the_first_is_the_best_and_without_one_none_is(tmp_path):
    training = trained(tmp_path / "training", (2.0, 2.0))
    assert best_step(training).name == "step-00000001"
    kept(training / "checkpoints/step-00000003", loss=None)
    assert [each.name[-1] for each in steps(training)] == ["1", "2", "3"]
    assert best_step(training).name == "step-00000001"


def test_the_data_are_kept_with_the_checkpoint_where_they_are_given(training, tmp_path):
    assert checkpoint_of(training).data is None
    path = kept(tmp_path / "own", data={"name": "digits"})
    assert checkpoint_of(path).data == {"name": "digits"}
    assert checkpoint_of(path).signature == Signature.of(digits())


def test_what_keeps_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is neither a checkpoint, a training nor a run; give"):
        open_model(tmp_path)
    with pytest.raises(ConfigError, match="is no folder; give the folder of a training"):
        open_model(tmp_path / "nowhere")


def test_a_training_without_checkpoints_is_told(tmp_path):
    (tmp_path / "new/checkpoints").mkdir(parents=True)
    with pytest.raises(RunError, match="has no checkpoint yet"):
        open_model(tmp_path / "new")


def test_a_training_whose_measurements_are_damaged_is_told(training, tmp_path):
    copy = shutil.copytree(training, tmp_path / "copy")
    (copy / "checkpoints/step-00000001/metrics.json").write_text("[]")
    with pytest.raises(RunError, match=r"metrics.json cannot be read \(AttributeError\); restore"):
        open_model(copy)


@pytest.mark.parametrize("text", ['{"loss":1' + "0" * 400 + "}", "[" * 100_000, "", None])
def test_measurements_that_nobody_can_read_are_told(text, training, tmp_path):
    copy = shutil.copytree(training, tmp_path / "copy")
    metrics = copy / "checkpoints/step-00000001/metrics.json"
    metrics.unlink()
    if text is None:
        os.mkfifo(metrics)  # of which a reader would wait for a writer
    else:
        metrics.write_text(text)
    with pytest.raises(RunError, match=r"metrics.json cannot be read \("):
        open_model(copy)
