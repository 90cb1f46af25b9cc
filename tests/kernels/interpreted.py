"""Triton kernels without a GPU: files named test_triton_*.py, run by Triton's interpreter in another process.

Triton decides when it is first imported, so one process has either its interpreter or its compiler. Such a file
calls `only_interpreted()` before it imports a kernel; test_interpreted.py runs them all. To run one by hand:

    TRITON_INTERPRET=1 python -m pytest tests/kernels/test_triton_attention.py

Float32 and float16 only: the interpreter computes bfloat16 wrongly, without a word. A program takes some tens
of milliseconds, so a case has few of them.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SWITCH = "TRITON_INTERPRET"
ROOT = Path(__file__).parents[2]
FILES = sorted(Path(__file__).parent.glob("test_triton_*.py"))
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is for Linux alone"
)


def only_interpreted() -> None:
    """Skip the module that calls this unless Triton interprets."""
    if os.environ.get(SWITCH) != "1":
        pytest.skip("is run by test_interpreted.py", allow_module_level=True)


def run_interpreted(files: list[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """Run test files in another process, in which Triton interprets."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *map(str, files)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {SWITCH: "1"}, check=False, capture_output=True, text=True
    )
