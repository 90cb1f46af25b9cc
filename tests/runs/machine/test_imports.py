import sys

import pytest

from runs.config.import_path import imported
from runs.config.reader import load
from runs.errors import ConfigError
from runs.machine.fingerprint import differences
from runs.machine.imports import is_users, with_imports
from runs.machine.source_digest import sources
from runs.prepared import prepare

FILES = {
    "own.py": "import json, numpy\nimport helper\nfrom package.inner import x\nfrom runs.tasks.toys import xor\n",
    "helper.py": "def late():\n    from importlib import import_module\n    return import_module('by_name')\n",
    "by_name.py": "import own  # round again",
    "package/__init__.py": "from . import beside\nfrom .deep.down import y",
    "package/inner.py": "x = 1",
    "package/beside.py": "import by_package",
    "package/deep/down.py": "from ...package import inner\nfrom .. import beside\ny = 1",
    "by_package.py": "import nowhere_at_all, vendored",
    "unused.py": "",
    "spaces/inner.py": "import results",
    "results/config.yaml": "",
    "libraries/vendored.py": "import beyond",
    "libraries/beyond.py": "",
    "libraries/vendored-1.0.dist-info/METADATA": "",
    "task.py": "import helper\nfrom runs.tasks.toys import xor\n",
    "computed.py": "import importlib\nimportlib.import_module('un' + 'used')\n",
    "late.py": "from runs.tasks.toys import xor\n"
    "def task(options, corpus):\n    __import__('un' + 'used')\n    return xor(options, corpus)\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's modules, and an installed one, on Python's path."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "libraries")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_all_that_is_imported_directly_or_not_is_found_and_nothing_is_loaded(project):
    before = set(sys.modules)
    everything = ("by_name", "by_package", "helper", "own", "package")
    assert with_imports(["own"]) == everything
    assert with_imports(["package.deep.down"]) == ("by_package", "package")
    assert set(sys.modules) == before


def test_what_is_installed_is_not_the_users(project):
    assert [name for name in ("own", "package.inner") if not is_users(name)] == []
    others = ("json", "numpy", "vendored", "runs.tasks", "sys", "nowhere_at_all", "own.nothing", "__main__")
    assert [name for name in others if is_users(name)] == []
    assert with_imports(["vendored"]) == ("vendored",)  # it is named itself


def test_a_package_may_lack_an_init_file_and_a_folder_without_source_is_none(project):
    assert with_imports(["spaces.inner"]) == ("spaces",)
    (project / "results" / "late.py").touch()
    (project / "spaces" / "inner.py").write_text("from results import late")
    assert with_imports(["spaces.inner"]) == ("results", "spaces")


def test_source_that_cannot_be_parsed_imports_nothing(project):
    (project / "helper.py").write_text("import by_name\nthis is no Python")
    assert with_imports(["helper"]) == ("helper",)


@pytest.mark.parametrize("path", ["computed:task", "late:task"])
def test_what_is_loaded_under_a_computed_name_is_refused(project, path):
    module = path.partition(":")[0]
    told = (
        f"the module 'unused' was loaded by {module} under a name that is computed, .*; name it in an import"
    )
    with pytest.raises(ConfigError, match=told):
        imported(path, "task.name") if module == "computed" else prepare(load("smoke", [f"task.name={path}"]))


def test_a_helper_that_is_edited_is_another_environment_and_is_shipped(project):
    config = load("smoke", ["task.name=task:xor", "task.length=null"])
    before = prepare(config)
    assert before.modules == ("by_name", "by_package", "helper", "own", "package", "task")
    assert [path.name for path in sources(before.modules)][-1] == "task.py"
    (project / "helper.py").write_text(FILES["helper.py"] + "# other numbers")
    (told,) = differences(before.fingerprint, prepare(config).fingerprint)
    assert told.startswith("user.helper: ")
