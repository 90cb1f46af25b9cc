"""Modules under `torch.compile`, by the router's own `compile` and around what it builds.

Run by test_compiled.py in a process of its own, without the checks of shapes, which cannot be traced. By hand:

    python -m pytest -n 0 --noconftest -p no:logging tests/organisms/towers/compile/compiled.py
"""

import pytest
import torch

from organisms.towers import compile_module
from tests.organisms.towers.compile.models import DIM, Branching, Ensemble, Layered, SloppyModel
from tests.organisms.towers.compile.test_models import drawn, made, passed

# What torch's compiler does to tensors and functions that it meets is none of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.distributed:FutureWarning"),
]
WAYS = {
    "its own": lambda compiler: compiler.compile(backend="eager", fullgraph=True),
    "wide": lambda compiler: compiler.build_wide_router().prepare_and_compile(backend="eager"),
    "around": lambda compiler: torch.compile(compiler.build_wide_router(), backend="eager"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [SloppyModel, Ensemble, Layered, Branching])
def test_what_is_compiled_gives_what_the_module_gives(kind, way):
    torch.compiler.reset()
    compiler, plain = compile_module(made(kind)), made(kind)
    compiled = WAYS[way](compiler)
    for step in range(3):
        x = drawn(4, DIM, seed=step)
        found, wanted = passed(compiled, x, step), passed(plain, x, step)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    assert all(each["used"] == "wide_compiler" for each in compiler.get_compilation_stats()["groups"])
