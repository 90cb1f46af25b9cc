"""Commands are started in folders that hold modules of every name that matters; each would say that it was run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runs.machine.source_digest import PACKAGES
from tests.fixtures.small_runs import arguments, copied

ROOT = Path(__file__).parents[3]
# Of Python, of what is installed, and of what is not but is asked for by what is.
NAMES = ("random", "json", "torch", "numpy", "matplotlib", "typer", "ray", "numexpr", "bottleneck", "pyarrow")
UNINSTALLED = ("numexpr", "bottleneck", "pyarrow")
RUN = "import pathlib, sys\npathlib.Path({place!r}).touch()\nraise SystemExit(f'{{__name__}} was run')\n"
# As from the command's script, in which the working directory is on no path; commands one after another.
COMMANDS = """
import shlex, sys
from importlib.machinery import PathFinder
class Editable:
    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, [{root!r}]) if path is None else None
# As an editable installation does, and before any that there is.
sys.meta_path.insert(sys.meta_path.index(PathFinder) + 1, Editable())
from runs.cli import main
for line in sys.argv[1:]:
    sys.argv[1:] = shlex.split(line)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""
TASK = """
import numpy as np
from helper import SYMBOLS
from organisms.task import Split, Task

def first(options, corpus):
    symbols = np.random.default_rng(0).integers(0, SYMBOLS, size=(200, 4))
    splits = [Split(part, part[:, 0]) for part in np.split(symbols, [80, 120, 160])]
    return Task("first", "class", *splits, tokens="discrete", features=SYMBOLS, outputs=SYMBOLS,
                positions=np.arange(4.0)[:, None])
"""
OWN = ("task.name=own:first", "task.examples=null", "organism.count=2", "rounds=2")


def shadow(folder, names):
    """Put a module of every name into a folder, our own as packages; what is run of them leaves a file `run`."""
    for name in names:
        path = folder / name / "__init__.py" if name in PACKAGES else folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(RUN.format(place=str(folder / "run.txt")))


def commands(folder, *lines):
    """Run commands in a folder, in one process."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMANDS.format(root=str(ROOT)), *lines],
        cwd=folder,
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "run.txt").exists(), done.stderr
    return done.stdout


@pytest.mark.long
def test_what_only_reads_never_looks_into_the_working_directory(undisturbed, tmp_path):
    run = copied(undisturbed, tmp_path)
    shadow(run, [*PACKAGES, *NAMES])
    reading = ("show .", "digest .", f"verify {undisturbed}", "plot .")
    assert "digest" in commands(run, *reading, "validate smoke --no-import", "schema")


@pytest.mark.long
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_what_runs_finds_the_users_own_modules_there_and_no_others(executor, tmp_path):
    shadow(tmp_path, sorted({*PACKAGES, *NAMES} - set(UNINSTALLED)))
    (tmp_path / "own.py").write_text(TASK)
    (tmp_path / "helper.py").write_text("SYMBOLS = 5\n")
    (tmp_path / "own.yaml").write_text("name: own\n")
    launch = f"launch smoke {' '.join(arguments(*OWN))} --out new --executor {executor} --workers 1 --quiet"
    further = ("resume new --quiet", "replay new --decisions", "validate smoke task.name=own:first")
    told = commands(tmp_path, launch, *(further if executor == "inline" else ()))
    assert "new/plots/coverage.png" in told
    assert ("equal: " in told) == (executor == "inline")
