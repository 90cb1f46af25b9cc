import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_a_compiled_collective_computes_what_it_computes_without():
    options = ("-n", "0", "--noconftest", "-p", "no:cacheprovider", "-p", "no:logging")
    command = [sys.executable, "-m", "pytest", *options, "tests/organisms/towers/compile/compiled.py"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
