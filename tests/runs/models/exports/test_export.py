import ast
import json
import os
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from runs.errors import ConfigError, RunError
from runs.models.exports import export as exporting
from runs.models.exports import onnx_file, program
from runs.models.exports.export import FORMATS, check_format, export
from runs.models.exports.plain_torch import executed
from runs.models.exports.program import inputs, recorded
from runs.models.opening import open_model
from runs.models.options import ARCHITECTURES, ModelChoice
from tests.fixtures import small_models
from tests.fixtures.small_models import CLASSES, SEQUENCES, SYMBOLS, VALUES, opened

SIGNATURES = {each.name: each for each in (CLASSES, SYMBOLS, SEQUENCES, VALUES)}
CLOSE = 1e-5
# Reads an exported folder where torch can be imported and nothing of ours, and answers to the tokens on stdin.
STRANGER = """
import importlib.abc, json, sys
class Refusing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"runs", "organisms", "kernels", "qd", "analysis", "archive_store", "safetensors"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refusing())
sys.path[0] = sys.argv[1]
import torch
from model import load
tokens = torch.tensor(json.loads(sys.stdin.read()))
model = load()
print(json.dumps({"outputs": model(tokens).tolist(), "ours": [m for m in sys.modules if m.startswith("runs")]}))
"""


def stranger(folder, tokens):
    """What the model answers in a process that has torch, but not this project."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder)],
        input=json.dumps(tokens.tolist()),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded(path, format):
    """An exported model, as its readers load it."""
    if format == "pt2":
        return torch.export.load(path).module()
    if format == "onnx":
        return onnx_file.executed(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated, which the command tells
        return torch.jit.load(path)


def answers(model, path, format, examples, length):
    tokens = inputs(model.signature, examples, length)
    with torch.no_grad():
        return loaded(path, format)(tokens), model.model(tokens)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_recorded_program_is_the_model(kind, signature):
    model = opened(kind, SIGNATURES[signature])
    found = recorded(model)
    assert found.any_length == model.any_length
    for examples, length in [(1, 7), (4, 7), *([(3, 12)] if found.any_length else [])]:
        tokens = inputs(model.signature, examples, length)
        with torch.no_grad():
            assert torch.allclose(found.exported.module()(tokens), model.model(tokens), rtol=0, atol=CLOSE)


def test_format_torch_needs_torch_alone(tmp_path):
    model = opened("transformer", SEQUENCES)
    path = tmp_path / "exported"
    assert export(model, "torch", path).length == "any"
    assert sorted(file.name for file in path.iterdir()) == ["model.py", "model.safetensors"]
    tokens = inputs(SEQUENCES, 3, 12)
    found = stranger(path, tokens)
    assert found["ours"] == []
    with torch.no_grad():
        wanted = model.model(tokens)
    assert np.allclose(found["outputs"], wanted.numpy(), rtol=0, atol=CLOSE)


@pytest.mark.long
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("signature", SIGNATURES)
def test_so_it_does_for_every_architecture(kind, signature, tmp_path):
    model = opened(kind, SIGNATURES[signature])
    export(model, "torch", tmp_path / "exported")
    tokens = inputs(model.signature, 2, 7)
    with torch.no_grad():
        wanted = model.model(tokens)
    found = stranger(tmp_path / "exported", tokens)["outputs"]
    assert np.allclose(found, wanted.numpy(), rtol=0, atol=CLOSE)


def test_its_weights_have_the_names_of_the_model_and_can_be_trained_on(tmp_path):
    model = opened("transformer", CLASSES)
    export(model, "torch", tmp_path / "exported")
    weights = safetensors.torch.load_file(tmp_path / "exported/model.safetensors")
    own = model.model.model.state_dict()
    inner = {name.removeprefix("model."): each for name, each in own.items()}
    assert all(torch.equal(each, inner[name.removeprefix("model.")]) for name, each in weights.items())
    assert len(weights) == len(own)
    files = {file.name: file.read_bytes() for file in (tmp_path / "exported").iterdir()}
    copy = executed(files)
    copy(inputs(CLASSES, 2, 7)).square().sum().backward()
    assert all(each.grad is not None for each in copy.parameters())


@pytest.mark.parametrize("format", ["pt2", "torchscript"])
def test_files_of_torch_are_the_model(format, tmp_path):
    model = opened("experts", CLASSES)
    found = export(model, format, tmp_path / "model")
    assert (found.batch, found.length) == ({"pt2": "any", "torchscript": 1}[format], 7)
    got, wanted = answers(model, tmp_path / "model", format, 1, 7)
    assert torch.allclose(got, wanted, rtol=0, atol=CLOSE)


@pytest.mark.long
@pytest.mark.parametrize("format", ["pt2", "onnx"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("signature", ["classes", "symbols"])
def test_files_read_batches_of_any_size(format, kind, signature, tmp_path):
    model = opened(kind, SIGNATURES[signature])
    found = export(model, format, tmp_path / "model")
    assert found.length == ("any" if model.any_length else 7)
    for size in [(1, 7), (6, 7), *([(2, 13)] if model.any_length else [])]:
        got, wanted = answers(model, tmp_path / "model", format, *size)
        assert torch.allclose(got, wanted, rtol=0, atol=CLOSE)


def test_onnxruntime_answers_as_the_model_does(tmp_path):
    model = opened("towers", CLASSES)
    assert export(model, "onnx", tmp_path / "model.onnx").difference < CLOSE
    for size in ((1, 7), (6, 7)):
        got, wanted = answers(model, tmp_path / "model.onnx", "onnx", *size)
        assert torch.allclose(got, wanted, rtol=0, atol=CLOSE)


def test_a_network_of_a_run_is_exported_too(signals, tmp_path):
    model = open_model(signals)
    export(model, "pt2", tmp_path / "model")
    got, wanted = answers(model, tmp_path / "model", "pt2", 4, model.signature.length)
    assert torch.allclose(got, wanted, rtol=0, atol=CLOSE)


@pytest.mark.long
@pytest.mark.parametrize("format", ["torch", "pt2", "onnx", "torchscript"])
def test_so_are_those_of_every_family(finished, format, tmp_path):
    model = open_model(finished)
    assert export(model, format, tmp_path / "model").difference < CLOSE


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_answers_otherwise_is_not_written(format, tmp_path, monkeypatch):
    model = opened("transformer", CLASSES)
    made = program.torch.export.export

    def another(*args, **options):
        found = made(*args, **options)
        with torch.no_grad():
            found.state_dict["model.model.model.head_bias"].add_(0.5)
        return found

    monkeypatch.setattr(program.torch.export, "export", another)
    with pytest.raises(
        RunError, match=r"answers otherwise than the model: .* differ by .* nothing was written"
    ):
        export(model, format, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_depends_on_other_tokens_cannot_be_recorded(tmp_path):
    chosen = small_models.choice("experts").model_dump()
    chosen["experts"]["block"]["moe"]["router"]["router_type"] = "expert_choice"
    model = small_models.build(CLASSES, ModelChoice.model_validate(chosen), torch.Generator().manual_seed(0))
    other = opened("experts", CLASSES)
    other.model.model = model.eval()
    with pytest.raises(RunError, match=r"this model \(experts\) cannot be recorded as a program"):
        export(other, "pt2", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_paths_and_formats_that_are_none_are_refused(tmp_path):
    model = opened("transformer", CLASSES)
    with pytest.raises(ConfigError, match=r"--format must be one of torch, .* not 'onx'; did you mean onnx"):
        check_format("onx")
    with pytest.raises(ConfigError, match="is there already; give another --out"):
        export(model, "pt2", tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        export(model, "pt2", tmp_path / "nowhere/model")


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(RunError, match=r"format onnx needs the package onnxscript, .* pip install"):
        export(opened("transformer", CLASSES), "onnx", tmp_path / "model")


def test_a_torch_without_torchscript_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.torch, "jit", None)
    with pytest.raises(RunError, match=r"has no TorchScript any more; choose format pt2 or torch"):
        export(opened("transformer", CLASSES), "torchscript", tmp_path / "model")


def test_a_pt2_file_holds_no_pickle(tmp_path):
    export(opened("transformer", CLASSES), "pt2", tmp_path / "model.pt2")
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        names = archive.namelist()
    assert [name for name in names if name.endswith(".pkl")] == []


def test_a_name_of_a_stranger_is_no_code(tmp_path, capsys):
    name = 'x""" + print("it ran") + """\\\nprint("it ran")'
    model = opened("transformer", replace(CLASSES, name=name))
    export(model, "torch", tmp_path / "out")
    assert "it ran" not in capsys.readouterr().out
    assert ast.get_docstring(ast.parse((tmp_path / "out/model.py").read_text())).startswith(
        "x??? + print(?it ran?)"
    )
