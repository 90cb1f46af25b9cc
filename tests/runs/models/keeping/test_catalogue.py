import hashlib
import json
import os
import shutil

import pytest

from runs.errors import ConfigError
from runs.models.checkpoints import open_checkpoint
from runs.models.keeping.catalogue import catalogue, newest, places
from runs.models.keeping.shown import details, listed, told
from runs.models.opening import open_model
from runs.models.signature import Signature
from tests.fixtures.small_models import digits, kept, model, trained
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


def signed(checkpoint, name, content):
    """Put a file in the place of another, and make its digest fit."""
    (checkpoint / name).write_bytes(content)
    digests = json.loads((checkpoint / "digests.json").read_text())
    digests[name] = hashlib.sha256(content).hexdigest()
    (checkpoint / "digests.json").write_text(json.dumps(digests))


def headed(head):
    return len(head).to_bytes(8, "little") + head


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        (2**63).to_bytes(8, "little") + b"{}",
        (2**40).to_bytes(8, "little") + b"{}",
        headed(b"nothing"),
        headed(b"[]"),
        headed(b"[" * 100_000),
        headed(b'{"a":5}'),
        headed(b'{"a":{"dtype":"F32","shape":["x"],"data_offsets":[0,4]}}'),
        headed(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'),
    ],
)
def test_what_is_no_safetensors_file_is_a_problem_of_one_model_alone(weights, tmp_path):
    signed(kept(tmp_path / "strange"), "model.safetensors", weights)
    kept(tmp_path / "usual")
    strange, usual = catalogue(tmp_path)
    assert "is no safetensors file" in strange.problem
    assert usual.problem is None


@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e999", "NaN", "[]", '"text"', "true"])
def test_measurements_that_are_no_numbers_are_none(value, tmp_path):
    text = '{"loss":VALUE,"score":VALUE,"step":VALUE}'.replace("VALUE", value)
    signed(kept(tmp_path / "strange"), "metrics.json", text.encode())
    (entry,) = catalogue(tmp_path)
    assert (entry.loss, entry.score, entry.step, entry.problem) == (None, None, None, None)
    assert listed([entry])


def test_names_of_strangers_are_shown_without_what_a_terminal_obeys(tmp_path):
    path = kept(tmp_path / "strange\x1b[2J")
    described = json.loads((path / "model.json").read_text())
    described["signature"]["name"] = "task\x1b]0;title\x07\nmore"
    signed(path, "model.json", json.dumps(described).encode())
    signed(path, "metrics.json", rb'{"\u001b[31m": 1}')
    for text in (listed(catalogue(tmp_path)), told(details(path))):
        assert "\\x1b]0;title\\x07 more" in text
        assert not set(text) & {"\x1b", "\x07"}


def test_code_that_a_checkpoint_names_is_not_imported_to_list_or_show_it(tmp_path, monkeypatch):
    (tmp_path / "runs_code.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    path = kept(tmp_path / "strange")
    described = json.loads((path / "model.json").read_text())
    described["model"]["kind"] = "runs_code:built"
    signed(path, "model.json", json.dumps(described).encode())
    (entry,) = catalogue(tmp_path)
    assert entry.architecture == details(path)["architecture"] == "runs_code:built"
    with pytest.raises(ConfigError, match="it ran"):
        open_model(path)


def test_what_is_shown_of_a_checkpoint_are_the_numbers_of_its_module(tmp_path):
    path = kept(tmp_path / "model")
    wanted = {}
    for name, each in open_model(path).model.state_dict().items():
        module = name.removeprefix("model.").rpartition(".")[0] or "(itself)"
        wanted[module] = wanted.get(module, 0) + each.numel()
    assert details(path)["parameters_by_module"] == wanted
    assert details(path)["parameters"] == sum(wanted.values())


def test_what_a_training_removes_meanwhile_is_not_damaged(tmp_path, monkeypatch):
    kept(tmp_path / "going")
    kept(tmp_path / "staying")

    def opened(path):
        if path.name == "going":
            shutil.rmtree(path)
        return open_checkpoint(path)

    monkeypatch.setattr("runs.models.keeping.catalogue.open_checkpoint", opened)
    assert [(each.name, each.problem) for each in catalogue(tmp_path)] == [("staying", None)]


def test_folders_and_keys_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--sort must be one of loss, .* not 'losss'; did you mean loss"):
        catalogue(tmp_path, "losss")
    with pytest.raises(ConfigError, match="nowhere is no folder; give one whose models"):
        catalogue(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="has no model that can be used"):
        newest(tmp_path)
