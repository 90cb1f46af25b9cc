"""The notebooks: what they name is public and there, nothing of a machine is in them, and the tutorial runs."""

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import pictures

ROOT = Path(pictures.__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "analysis" / "notebooks").glob("*.ipynb"))
OURS = ("analysis", "archive_store", "kernels", "organisms", "qd", "runs")


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def code(path: Path) -> ast.Module:
    """All code of a notebook as one module; its lines are no magic of IPython's."""
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells(path, "code")))


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), name.name) for name in node.names)


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == ["going_on.ipynb", "tutorial.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_cell_compiles_and_all_that_it_names_is_public(path):
    for cell in cells(path, "code"):
        compile("".join(cell["source"]), path.name, "exec")
    names = [node.attr for node in ast.walk(code(path)) if isinstance(node, ast.Attribute)]
    names += [part for module, name in imported(code(path)) for part in (*module.split("."), name)]
    assert [name for name in names if name.startswith("_")] == []
    assert {module.split(".")[0] for module, _ in imported(code(path))} & set(OURS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_that_it_imports_is_there(path):
    for module, name in imported(code(path)):
        found = importlib.import_module(module)
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_a_machine_is_in_it(path):
    for cell in cells(path, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    text = path.read_text(encoding="ascii")
    assert [part for part in ("/home", "/root", "/tmp", "/usr", "Users", "C:") if part in text] == []
    assert json.loads(text)["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@pytest.mark.long
def test_the_tutorial_runs_from_its_first_cell_to_its_last(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(ROOT / "analysis" / "notebooks" / "tutorial.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {"".join(cell.source): cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    shown = next(found for source, found in outputs.items() if source.endswith("\nrun"))
    assert "The best 10 of " in shown[0]["data"]["text/html"]
    compared = next(found for source, found in outputs.items() if "compared_runs([" in source)
    assert "difference from" in compared[-1]["data"]["text/html"]
    pictures = [found for source, found in outputs.items() if "plt.subplots" in source]
    assert len(pictures) == 2
    assert all(any("image/png" in each.get("data", {}) for each in found) for found in pictures)
    history = next(found for source, found in outputs.items() if "scheduler" in source)[-1]
    scores = ast.literal_eval(history["data"]["text/plain"])
    assert len(scores) == 4
    assert scores == sorted(scores)
    errors = [each for found in outputs.values() for each in found if each["output_type"] == "error"]
    assert errors == []
