"""What holds for the project as a whole: layers, packaging, pins, errands, and the texts beside the code."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runs.config.presets import presets
from runs.config.reader import load
from runs.machine.source_digest import PACKAGES

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PIN = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def sources() -> list[Path]:
    """The files of the six packages that are installed."""
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*"))
    return sorted(path for path in files if path.suffix in (".css", ".js", ".py", ".yaml"))


def texts() -> list[Path]:
    """Code, tests and the texts in the root."""
    beside = [*(ROOT / "tests").rglob("*.py"), ROOT / ".ci" / "run"]
    beside += (path for path in (ROOT / ".ci" / "docs").rglob("*.*") if path.suffix != ".pyc")
    in_root = [path for path in ROOT.iterdir() if path.suffix in (".cff", ".md", ".toml", ".txt")]
    return [*sources(), *beside, *in_root, *(ROOT / name for name in (".gitignore", "LICENSE", "Makefile"))]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [PIN.fullmatch(line) for line in lines if not line.startswith("#")]
    assert all(found), "constraints.txt holds comments and lines of the form name==version"
    return {match[1]: match[2] for match in found}


def test_the_layers_hold():
    """In a process of its own, as import-linter disables every logger there is."""
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    linted = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_an_installation_has_every_module_and_preset_and_the_command(tmp_path):
    """A wheel is built from a copy, because building writes beside the sources."""
    copy, wheels = tmp_path / "copy", tmp_path / "wheels"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / name, copy)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        commands = archive.read(f"plasmodia-{PROJECT['version']}.dist-info/entry_points.txt").decode()
    assert sorted(names) == sorted(path.relative_to(ROOT).as_posix() for path in sources())
    assert "plasmodia = runs.cli:main" in commands


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_and_says_what_it_is(name):
    assert load(name).name == name
    assert (ROOT / "runs" / "presets" / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


def test_every_dependency_is_pinned_to_a_release_that_it_admits():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = [Requirement(line) for group in groups for line in group]
    pinned = pins()
    assert {canonicalize_name(each.name) for each in wanted} <= pinned.keys()
    assert [str(each) for each in wanted if pinned[canonicalize_name(each.name)] not in each.specifier] == []


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {citation["version"], newest[1]} == {PROJECT["version"]}
    assert citation["license"] == PROJECT["license"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_a_newcomer_is_told_to_make_can_be_made(name):
    makefile, text = ((ROOT / file).read_text(encoding="utf-8") for file in ("Makefile", name))
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    told = re.findall(r"^ *(?:\$ )?make ([a-z]+) *(?:#|$)|`make ([a-z]+)", text, re.MULTILINE)
    assert {"test"} <= {target for pair in told for target in pair if target} <= targets


def test_a_newcomer_is_told_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make launch" in readme
    assert "make test" in readme


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_each_file_of_the_story_calls_the_next(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    story = re.search(r"`runs/[\w/]+\.py`(?:\s*->\s*`runs/[\w/]+\.py`)+", text)[0]
    files = re.findall(r"`(runs/[\w/]+\.py)`", story)
    assert (files[0], files[-1]) == ("runs/cli.py", "runs/trainer.py")
    for file, following in pairwise(files):
        assert following in imports(ROOT / file), f"{file} does not import {following}"


def imports(path: Path) -> set[str]:
    """The files that a file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            found |= {f"{module.replace('.', '/')}.py" for module in modules}
    return found


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "tests/README.md"])
def test_every_file_that_is_named_is_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    root = ROOT / "tests" if name.startswith("tests") else ROOT
    named = re.findall(r"`((?:\.ci|[a-z_]+)/[\w/.]+?\.(?:py|md|yaml|toml))", text)
    assert named
    assert [path for path in named if not ((root / path).exists() or (ROOT / path).exists())] == []


def test_no_folder_of_the_packages_has_more_files_than_one_can_overlook():
    folders = {path.parent for path in sources() if path.suffix == ".py"}
    counts = {str(f.relative_to(ROOT)): sum(p.name != "__init__.py" for p in f.glob("*.py")) for f in folders}
    assert {folder: count for folder, count in counts.items() if count > 14} == {}


def test_code_is_ascii_and_texts_have_no_control_characters():
    strange = {str(path.relative_to(ROOT)): found for path in texts() if (found := odd_characters(path))}
    assert strange == {}


def odd_characters(path: Path) -> set[str]:
    prose = path.suffix == ".md"
    characters = set(path.read_text(encoding="utf-8")) - {"\n", "\t"}
    return {char for char in characters if not (char.isprintable() and (prose or char.isascii()))}


@pytest.fixture
def checkout(tmp_path):
    """A folder with this Makefile and an environment whose command says what it was asked."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    command = tmp_path / ".venv" / "bin" / "plasmodia"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "plasmodia $*"\n', encoding="utf-8")
    command.chmod(0o755)
    (tmp_path / ".venv" / "installed").touch()
    return tmp_path


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, also where another make runs the tests."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", target], cwd=folder, env=outside, check=False, capture_output=True, text=True
    )


@needs_make
def test_a_first_launch_starts_a_run(checkout):
    done = make(checkout, "launch")
    assert (done.returncode, done.stdout) == (0, "plasmodia launch digits --out out/digits\n")


@needs_make
def test_a_second_launch_goes_on_and_says_so(checkout):
    (checkout / "out" / "digits").mkdir(parents=True)
    done = make(checkout, "launch")
    assert (done.returncode, done.stdout) == (0, "plasmodia resume out/digits\n")
    assert done.stderr == "out/digits is there already: going on if it is unfinished, else showing it.\n"


@needs_make
@needs_git
def test_a_new_top_level_folder_is_refused_once_it_is_tracked(checkout):
    for name in ("qd", "extra"):
        (checkout / name).mkdir()
        (checkout / name / "file.py").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    subprocess.run(["git", "add", "qd"], cwd=checkout, check=True)
    assert make(checkout, "folders").returncode == 0
    subprocess.run(["git", "add", "extra"], cwd=checkout, check=True)
    refused = make(checkout, "folders")
    assert refused.returncode != 0
    assert "there is also: extra" in refused.stderr
