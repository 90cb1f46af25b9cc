import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from runs.cli import app
from runs.commands import models as commands
from runs.models.checkpoints import save
from runs.models.keeping.data import made
from runs.models.opening import open_model
from runs.models.predicting import predict
from runs.models.signature import Signature
from tests.fixtures.small_models import choice, digits, model, trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two trainings; nobody may change them."""
    folder = tmp_path_factory.mktemp("models")
    trained(folder / "dense", (2.0, 1.5))
    trained(folder / "other", (1.0,))
    return folder


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(each) for each in arguments], **options)


def test_models_are_listed_shown_and_found(folder):
    listed = run("models", "list", folder, "--sort", "loss", "--json")
    assert listed.exit_code == 0
    names = [entry["name"] for entry in json.loads(listed.stdout)]
    assert names == ["other/checkpoints/step-00000001", "dense/checkpoints/step-00000002"]
    text = run("models", "list", folder, "--all").stdout
    assert len(text.splitlines()) == 4
    assert text.split()[:2] == ["model", "kind"]
    shown = json.loads(run("models", "show", folder / "dense", "--json").stdout)
    assert shown["metrics"] == {"step": 2, "loss": 1.5, "score": 0.1}
    assert shown["parameters"] == sum(shown["parameters_by_module"].values())
    assert len(shown["digests"]["model.safetensors"]) == 64
    assert "options.d_model" in run("models", "show", folder / "dense").stdout
    latest = run("models", "latest", folder).stdout.strip()
    assert open_model(latest).description["kind"] == "checkpoint"
    assert json.loads(run("models", "latest", folder, "--json").stdout) == {"path": latest}


def test_a_run_is_shown_as_its_best_network(signals):
    shown = json.loads(run("models", "show", signals, "--json").stdout)
    assert (shown["kind"], shown["architecture"], shown["round"]) == ("run", "experts", 4)
    assert shown["options"]["kind"] == "experts"
    assert {"libraries", "source"} <= set(shown["fingerprint"])


def test_damaged_models_are_told_and_so_says_the_status(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "other/checkpoints/step-00000001/model.json").unlink()
    found = run("models", "list", copy)
    assert found.exit_code == 1
    assert "damaged: other/checkpoints/step-00000001: " in found.stdout
    assert "1 of the 2 models in" in found.stderr


def test_an_empty_folder_has_no_models_yet(tmp_path):
    found = run("models", "list", tmp_path)
    assert (found.exit_code, found.stdout) == (0, "")
    assert "has no models yet" in found.stderr


def test_models_are_compared(folder):
    found = run("models", "compare", folder / "dense", folder / "other", "--json")
    assert found.exit_code == 0, found.stderr
    answer = json.loads(found.stdout)
    assert (answer["split"], answer["score"], len(answer["models"])) == ("test", "accuracy", 2)
    text = run("models", "compare", folder / "dense", folder / "other", "--split", "validation").stdout
    assert "validation loss" in text
    assert "FLOPs: matrix products" in text


def test_a_model_is_exported(folder, tmp_path):
    out = tmp_path / "model.pt2"
    found = run("models", "export", folder / "dense", "--format", "pt2", "--out", out)
    assert (found.exit_code, found.stdout.strip()) == (0, str(out))
    assert "batches of any size and sequences of length 16" in found.stderr
    tokens = torch.from_numpy(digits().test.inputs[:2])
    with torch.no_grad():
        wanted = open_model(folder / "dense").model(tokens)
    assert torch.allclose(torch.export.load(out).module()(tokens), wanted, rtol=0, atol=1e-5)
    again = run("models", "export", folder / "dense", "--format", "pt2", "--out", out)
    assert again.exit_code == 2
    assert "is there already" in again.stderr


@pytest.mark.parametrize("format", ["npy", "csv", "names"])
def test_a_model_answers_to_a_file(folder, tmp_path, format):
    task = digits()
    given, path = task.test.inputs[:3], tmp_path / f"inputs.{'npy' if format == 'npy' else 'csv'}"
    if format == "npy":
        np.save(path, given)
    else:
        rows = given.reshape(3, -1).astype(np.float64)
        names = ",".join(f"x{n}" for n in range(rows.shape[1])) if format == "names" else ""
        np.savetxt(path, rows, delimiter=",", header=names, comments="")
    out = tmp_path / "outputs.npy"
    found = run("predict", folder / "dense", path, "--out", out)
    assert (found.exit_code, found.stdout.strip()) == (0, str(out)), found.stderr
    with torch.no_grad():
        wanted = open_model(folder / "dense").model(torch.from_numpy(given)).numpy()
    assert np.allclose(np.load(out), wanted, rtol=0, atol=1e-5)


def test_models_are_deleted_where_that_is_wanted(folder, tmp_path, monkeypatch):
    copy = shutil.copytree(folder, tmp_path / "copy")
    refused = run("models", "delete", copy / "dense")
    assert refused.exit_code == 2
    assert "or with --yes" in refused.stderr
    monkeypatch.setattr(commands, "at_a_terminal", lambda: True)
    declined = run("models", "delete", copy / "dense", input="n\n")
    assert (declined.exit_code, (copy / "dense").is_dir()) == (2, True)
    assert "nothing was deleted" in declined.stderr
    agreed = run("models", "delete", copy / "dense", input="y\n")
    assert (agreed.exit_code, (copy / "dense").exists()) == (0, False)
    assert agreed.stdout.splitlines()[-1] == str(copy / "dense")  # the runner writes its input too
    sure = run("models", "delete", copy / "other/checkpoints/step-00000001", "--yes")
    assert sure.exit_code == 0
    assert [path.name for path in copy.iterdir()] == ["other"]


def test_nothing_is_deleted_if_one_of_them_may_not_be(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    found = run("models", "delete", copy / "dense", copy, "--yes")
    assert found.exit_code == 2
    assert (copy / "dense").is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["models", "list", "nowhere"], "nowhere is no folder"),
        (["models", "list", ".", "--sort", "los"], "did you mean loss?"),
        (["models", "latest", "."], "has no model that can be used"),
        (["models", "show", "."], "is neither a checkpoint, a training nor a run"),
        (["models", "compare", "nowhere"], "a comparison takes two models or more"),
        (["models", "compare", "nowhere", "."], "nowhere is no folder"),
        (["models", "export", ".", "--format", "onx"], "did you mean onnx?"),
        (["models", "export", "nowhere", "--format", "onnx"], "nowhere is no folder"),
        (["models", "delete", ".", "--yes"], "is no checkpoint and no training"),
        (["predict", "nowhere", "x.npy", "--out", "y.npy"], "nowhere is no folder"),
        (["predict", "nowhere", "x.npy", "--out", "y.txt"], "--out must be a file that ends in .npy or .csv"),
    ],
)
def test_nonsense_is_one_sentence(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_written_where_it_says(signals, tmp_path):
    result = run("models", "plot", signals, "--kind", "spectra", "--to", tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/spectra.png\n")
    refused = run("models", "plot", signals, "--kind", "spectr")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "did you mean spectra?" in refused.stderr


def test_a_checkpoint_keeps_the_names_of_classes_and_a_table_answers_them(tmp_path):
    draws = np.random.default_rng(0)
    table = pd.DataFrame({"a": draws.normal(size=80), "b": draws.normal(size=80)})
    table["y"] = np.where(table["a"] + table["b"] > 0, "ill", "well")
    table.to_csv(tmp_path / "table.csv", index=False)
    data = {"name": "table", "path": str(tmp_path / "table.csv"), "target": "y"}
    signature, chosen, path = Signature.of(made(data, "here")), choice("transformer"), tmp_path / "model"
    save(path, model("transformer", signature), chosen, signature, metrics={}, fingerprint={}, data=data)
    result = run("predict", path, tmp_path / "table.csv", "--out", tmp_path / "out.csv")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'out.csv'}\n"), result.stderr
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == ["class", "logit of ill", "logit of well"]
    wanted = np.where(found["logit of ill"] >= found["logit of well"], "ill", "well")
    assert (found["class"] == wanted).all()


def test_a_model_of_a_table_answers_to_rows_of_the_same_columns(tmp_path):
    draws = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": draws.normal(size=80), "b": draws.choice(["x", "y"], 80), "y": draws.normal(size=80)}
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    data = {"name": "table", "path": str(tmp_path / "table.csv"), "target": "y"}
    task = made(data, "here")
    signature, chosen = Signature.of(task), choice("transformer")
    save(
        tmp_path / "model",
        model("transformer", signature),
        chosen,
        signature,
        metrics={},
        fingerprint={},
        data=data,
    )
    table[["b", "a"]].to_csv(tmp_path / "rows.csv", index=False)
    result = run("predict", tmp_path / "model", tmp_path / "rows.csv", "--out", tmp_path / "out.npy")
    assert result.exit_code == 0, result.stderr
    found = np.load(tmp_path / "out.npy")
    assert found.shape == (80, 1)
    wanted = predict(open_model(tmp_path / "model"), task.test.inputs)
    assert all(np.isclose(found, each, atol=1e-6).any() for each in wanted)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    refused = run("predict", tmp_path / "model", tmp_path / "rows.csv", "--out", tmp_path / "out.npy")
    assert refused.exit_code == 2
    assert "the rows have no column 'b', which the model reads; they have a" in refused.stderr
