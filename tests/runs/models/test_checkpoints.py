import hashlib
import json
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive_store.errors import EncodingError, StoreError
from runs.errors import ConfigError, PlasmodiaError, RunError
from runs.models.architectures import build
from runs.models.checkpoints import DESCRIPTION, MODEL, open_checkpoint, save, tensors
from runs.models.signature import Signature
from tests.fixtures.small_trainings import SIZES, small

FILES = (
    "model.safetensors",
    "model.json",
    "metrics.json",
    "fingerprint.json",
    "training.safetensors",
    "digests.json",
)
SIGNATURE = Signature("mine", "sequence", "continuous", 2, 3, 5, causal=True, labels=("a", "b"))


def saved(path, kind="experts"):
    choice = small(model__kind=kind).model
    model = build(SIGNATURE, choice, torch.Generator().manual_seed(7))
    training = {"moments.exp_avg.x": torch.ones(3)}
    save(
        path, model, choice, SIGNATURE, metrics={"loss": 0.5}, fingerprint={"python": "3"}, training=training
    )
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "step-1"
    saved(path)
    return path


@pytest.mark.parametrize("kind", SIZES)
def test_a_model_comes_back_bit_for_bit(kind, tmp_path):
    model = saved(tmp_path / "step-1", kind)
    opened = open_checkpoint(tmp_path / "step-1")
    tokens = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    again = opened.model()
    assert torch.equal(again(tokens)[0], model(tokens)[0])
    assert not again.training
    assert (opened.signature, opened.metrics, opened.fingerprint) == (
        SIGNATURE,
        {"loss": 0.5},
        {"python": "3"},
    )
    assert opened.digest == hashlib.sha256((tmp_path / "step-1" / "digests.json").read_bytes()).hexdigest()


def test_no_file_is_a_pickle_and_nothing_half_written_is_left(checkpoint):
    assert sorted(path.name for path in checkpoint.iterdir()) == sorted(FILES)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["step-1"]
    assert not [name for name in FILES if (checkpoint / name).read_bytes()[:2] in (b"\x80\x02", b"PK")]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_one_sentence(name, checkpoint, tmp_path):
    path = tmp_path / "step-1"
    shutil.copytree(checkpoint, path)
    (path / name).unlink()
    kind = ConfigError if name == "digests.json" else RunError
    with pytest.raises(
        kind, match=r"is no checkpoint: it has no digests\.json|is missing or damaged"
    ) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_changed_byte_is_one_sentence(name, checkpoint, place, change):
    file = checkpoint / name
    before = file.read_bytes()
    position = int(place * len(before))
    try:
        file.write_bytes(before[:position] + bytes([before[position] ^ change]) + before[position + 1 :])
        with pytest.raises((PlasmodiaError, StoreError)) as caught:
            open_checkpoint(checkpoint)
    finally:
        file.write_bytes(before)
    assert "\n" not in str(caught.value)


def changed(checkpoint, path, name, value):
    """A copy in which a file, and its digest with it, is another."""
    shutil.copytree(checkpoint, path)
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    (path / name).write_bytes(text)
    digests = json.loads((path / "digests.json").read_text())
    (path / "digests.json").write_text(json.dumps({**digests, name: hashlib.sha256(text).hexdigest()}))
    return path


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"format": 99}, r"is of a newer version \(format 99\); update Plasmodia"),
        ({}, r"model\.json describes no model: 'format'"),
        ({"format": "1"}, r"model\.json describes no model"),
        ({"format": 1, "model": {"kind": "nothing"}, "signature": {}}, r"model\.json describes no model"),
        ([], r"model\.json is no JSON object; take"),
        (b"{", r"model\.json is no JSON \("),
        (b"[" * 100_000, r"model\.json is no JSON \("),
    ],
)
def test_what_describes_no_model_is_one_sentence(value, told, checkpoint, tmp_path):
    with pytest.raises(RunError, match=told) as caught:
        open_checkpoint(changed(checkpoint, tmp_path / "step-1", DESCRIPTION, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a\0b", "\ud800", "..", ".", "", "../step-1/model.json", "\x1b[2J"]
)
def test_names_that_no_file_of_it_has_are_one_sentence(name, checkpoint, tmp_path):
    path = shutil.copytree(checkpoint, tmp_path / "step-1")
    digests = json.loads((path / "digests.json").read_text())
    digests[name] = hashlib.sha256((path / "model.json").read_bytes()).hexdigest()
    (path / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(RunError, match="is missing or damaged") as caught:
        open_checkpoint(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("key", "value"), [("name", 5), ("name", [1]), ("labels", [[1]]), ("labels", 5)])
def test_names_of_a_signature_that_are_no_text_are_one_sentence(key, value, checkpoint, tmp_path):
    described = json.loads((checkpoint / DESCRIPTION).read_text())
    described["signature"][key] = value
    with pytest.raises(RunError, match=r"model\.json describes no model: "):
        open_checkpoint(changed(checkpoint, tmp_path / "step-1", DESCRIPTION, described))


def test_digests_that_leave_a_file_out_are_told(checkpoint, tmp_path):
    path = tmp_path / "step-1"
    shutil.copytree(checkpoint, path)
    (path / "digests.json").write_text("{}")
    with pytest.raises(
        RunError, match=r"digests\.json names no model\.safetensors; take the checkpoint from a copy"
    ):
        open_checkpoint(path)


def test_parameters_of_another_model_are_told(checkpoint, tmp_path):
    other = tmp_path / "other"
    saved(other, "flow")
    path = changed(checkpoint, tmp_path / "step-1", MODEL, (other / MODEL).read_bytes())
    with pytest.raises(RunError, match="step-1 has the parameters of another model: ") as caught:
        open_checkpoint(path).model()
    assert "\n" not in str(caught.value)


def test_what_is_no_safetensors_file_is_told(tmp_path):
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(EncodingError, match="x is no safetensors file"):
        tensors(tmp_path / "x")


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"is no checkpoint: it has no digests\.json"):
        open_checkpoint(tmp_path)
