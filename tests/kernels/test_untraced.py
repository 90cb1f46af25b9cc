import subprocess
import sys

import torch

from kernels.untraced import untraced


def test_compiled_code_calls_the_function_as_it_stands():
    traced = []

    @untraced
    def doubled(x):
        traced.append(torch.compiler.is_compiling())
        return 2 * x

    x = torch.arange(3.0)
    found = torch.compile(lambda x: doubled(x + 1) - 1, backend="eager")(x)
    assert found.tolist() == [1, 3, 5]
    assert doubled(x).tolist() == [0, 2, 4]
    assert traced == [False, False]


def test_the_compiler_is_not_loaded_for_it():
    """Which takes seconds, in every process of a run."""
    code = """
import sys
from kernels.untraced import untraced
untraced(abs)(-1)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
