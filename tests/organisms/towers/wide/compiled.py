"""Collectives under `torch.compile`, which compute what they compute without.

Run by test_compiled.py in a process of its own, without the checks of shapes, which cannot be traced. By hand:

    python -m pytest -n 0 --noconftest -p no:logging tests/organisms/towers/wide/compiled.py
"""

import copy

import pytest
import torch

from organisms.towers import ExecutionStrategy, WideRouter
from tests.organisms.towers.wide.shapes import BATCHED, KINDS, inputs, weights

# What torch's compiler does to tensors and functions that it meets is none of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.distributed:FutureWarning"),
]


class Collective(WideRouter):
    def forward(self, x):
        return torch.stack(list(self.wide_forward(x).values())).mean(0)


CASES = [
    (BATCHED[0], "normed", "eager"),
    (BATCHED[1], "nested", "eager"),
    (BATCHED[1], "dropping", "eager"),
    (BATCHED[0], "plain", "aot_eager"),  # whose graphs cannot be used twice
    (BATCHED[1], "plain", "aot_eager"),
]


@pytest.mark.parametrize(("strategy", "kind", "backend"), CASES)
def test_a_compiled_collective_computes_what_it_computes_without(strategy, kind, backend):
    torch.compiler.reset()
    router = Collective("wide", execution_strategy=strategy)
    for at in range(2):
        router.attach(f"tower_{at}", KINDS[kind](f"tower_{at}", 4))
    plain = copy.deepcopy(router.double())
    plain.execution_strategy = ExecutionStrategy.SEQUENTIAL
    compiled, x = router.prepare_and_compile(backend=backend, fullgraph=True), inputs((3, 4))
    for step in range(6):
        if step in (2, 3):  # other sizes, whose graph is compiled for one use
            x = inputs((3 + step, 4))
        if step == 4:  # the way has to be proven anew, by code that is compiled already
            router.prepare_for_compile()
        for each, called in ((router, compiled), (plain, plain)):
            torch.manual_seed(step)
            each.zero_grad()
            y = called(x)
            (y * weights(y)).sum().backward()
    (group,) = router.get_wide_stats()["groups"]
    assert (group["used"], group["reasons"]) == (strategy.value, {})
    for found, wanted in zip(router.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)
    for found, wanted in zip(router.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, wanted)
