import json
import os
import shutil

import pytest

from runs.errors import ConfigError
from runs.models.keeping.catalogue import catalogue, newest, parameters_of, places
from runs.models.signature import Signature
from tests.fixtures.small_models import digits, model, trained
from tests.fixtures.small_runs import copied


@pytest.fixture
def tree(signals, tmp_path):
    """A run, a training, a damaged training, and what is none of these."""
    copied(signals, tmp_path)
    training = trained(tmp_path / "deep/dense")
    broken = shutil.copytree(training, tmp_path / "broken")
    weights = broken / "checkpoints/step-00000002/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (tmp_path / "link").symlink_to(training)
    (tmp_path / ".hidden").symlink_to(training)
    (tmp_path / "other").mkdir()
    return tmp_path


def test_the_best_checkpoint_of_each_training_and_every_run_is_listed(tree):
    run, damaged, dense = sorted(catalogue(tree), key=lambda entry: (entry.kind != "run", entry.name))
    assert (dense.name, dense.kind) == ("deep/dense/checkpoints/step-00000002", "checkpoint")
    assert (dense.step, dense.loss, dense.score, dense.problem) == (2, 1.5, 0.1, None)
    wanted = model("transformer", Signature.of(digits()))
    assert dense.parameters == sum(each.numel() for each in wanted.parameters())
    files = (tree / dense.name).iterdir()
    assert dense.size == sum(file.stat().st_size for file in files)
    assert (run.name, run.architecture, run.task, run.step) == ("run", "experts", "signals", 4)
    assert run.loss > 0
    assert damaged.name == "broken/checkpoints/step-00000002"
    assert "model.safetensors is missing or damaged" in damaged.problem


def test_all_checkpoints_are_listed_where_that_is_asked(tree):
    assert len(catalogue(tree, every=True)) == 7
    assert [path.name for path, _ in places(tree / "deep", True)] == [f"step-0000000{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize("sort", ["loss", "score", "name", "date", "size", "parameters"])
def test_models_are_sorted_and_what_has_no_value_comes_last(tree, sort):
    entries = catalogue(tree, sort, every=True)
    value = {
        "loss": lambda entry: entry.loss,
        "score": lambda entry: None if entry.score is None else -entry.score,
        "name": lambda entry: entry.name,
        "date": lambda entry: -entry.changed,
        "size": lambda entry: entry.size,
        "parameters": lambda entry: entry.parameters,
    }[sort]
    known = [value(entry) for entry in entries if value(entry) is not None]
    assert known == sorted(known)
    assert [value(entry) for entry in entries[len(known) :]] == [None] * (len(entries) - len(known))


def test_the_newest_is_the_one_that_was_changed_last(tree):
    wanted = tree / "deep/dense/checkpoints/step-00000003"
    for path in tree.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1e9, 1e9))
    os.utime(wanted / "digests.json", (2e9, 2e9))
    os.utime(tree / "broken/checkpoints/step-00000002/digests.json", (3e9, 3e9))
    assert newest(tree) == wanted


def test_a_catalogue_is_json(tree):
    assert len(json.loads(json.dumps([entry.plain() for entry in catalogue(tree)], allow_nan=False))) == 3


def test_parameters_are_counted_from_the_head_of_the_file(tree):
    weights = tree / "deep/dense/checkpoints/step-00000001/model.safetensors"
    whole = parameters_of(weights)
    weights.write_bytes(weights.read_bytes()[:-8])
    assert parameters_of(weights) == whole


def test_folders_and_keys_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--sort must be one of loss, .* not 'losss'; did you mean loss"):
        catalogue(tmp_path, "losss")
    with pytest.raises(ConfigError, match="nowhere is no folder; give one whose models"):
        catalogue(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="has no model that can be used"):
        newest(tmp_path)
