import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_what_is_compiled_gives_what_the_module_gives():
    options = ("-n", "0", "--noconftest", "-p", "no:cacheprovider", "-p", "no:logging")
    command = [sys.executable, "-m", "pytest", *options, "tests/organisms/towers/compile/compiled.py"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
