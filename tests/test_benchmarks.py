"""Benchmarks are run by hand: what a change of the source takes from under their imports is noticed here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOADED = """
import runpy, sys
for path in sys.argv[1:]:
    try:
        runpy.run_path(path, run_name="loaded")
    except BaseException as error:
        print(f"{path}: {error}")
print(f"{len(sys.argv) - 1} files")
"""


def test_every_benchmark_finds_what_it_imports():
    files = sorted(map(str, (ROOT / "tests" / "benchmarks").glob("*.py")))
    assert len(files) > 30
    done = subprocess.run([sys.executable, "-c", LOADED, *files], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(files)} files\n", "")
