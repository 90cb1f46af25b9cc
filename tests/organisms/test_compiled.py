import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = [file.relative_to(HERE).as_posix() for file in sorted(HERE.rglob("compiled.py"))]


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_what_is_compiled_computes_what_it_computes_without(name):
    options = ("-n", "0", "--noconftest", "-p", "no:cacheprovider", "-p", "no:logging")
    command = [sys.executable, "-m", "pytest", *options, str(HERE / name)]
    done = subprocess.run(command, cwd=HERE.parents[1], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
