"""What is compiled gives what the module gives, whatever people write, and says what it does with it."""

import copy
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from organisms.towers.compile.compile_router import CompileRouter, compile_module
from tests.organisms.towers.compile.models import DIM, MODELS, linear
from tests.organisms.towers.wide.shapes import BATCHED, weights

EVERY = pytest.mark.parametrize("kind", MODELS)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def passed(module, x, seed):
    """Output, gradients, and buffers after one pass, with gradients that add up from pass to pass."""
    random.seed(seed)
    torch.manual_seed(seed)
    leaf = x.clone().requires_grad_()
    y = module(leaf)
    tensor = y["y"] if isinstance(y, dict) else y
    (tensor * weights(tensor)).sum().backward()
    grads = [each.grad for each in module.parameters()]
    return y, leaf.grad, grads, list(module.buffers()), random.random(), torch.rand(2)


def made(kind, seed=0):
    torch.manual_seed(seed)
    return kind()


@EVERY
@pytest.mark.parametrize("strategy", [None, *BATCHED])
def test_it_gives_what_the_module_gives_gradients_buffers_and_random_numbers_too(kind, strategy):
    options = {} if strategy is None else {"execution_strategy": strategy}
    compiled = compile_module(made(kind), **options)
    plain = made(kind)
    for step in range(3):
        x = drawn(4, DIM, seed=step)
        if step == 2:
            compiled.eval(), plain.eval()
        found, wanted = passed(compiled, x, step), passed(plain, x, step)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


@EVERY
def test_it_says_what_is_computed_together_and_why_the_rest_is_not(kind):
    compiled = compile_module(made(kind))
    for _ in range(2):
        compiled(drawn(4, DIM))
    together, text = MODELS[kind]
    stats = compiled.get_compilation_stats()
    stages = stats["stages"]
    assert [tuple(each["modules"]) for each in stages if each["batched"]] == together
    assert stats["batched_modules"] == sum(map(len, together))
    reasons = [each["reason"] for each in stages if not each["batched"]]
    reasons += [stats["reason"], *stats["opaque"].values()]
    reasons += [each["reasons"].get("vmap") for each in stats["groups"]]
    assert text in " ".join(filter(None, reasons))


def test_stages_are_really_computed_together_unless_a_reason_is_given():
    for kind, (together, _) in MODELS.items():
        compiled = compile_module(made(kind))
        for _ in range(2):
            compiled(drawn(4, DIM))
        stats = compiled.get_compilation_stats()
        groups = stats["groups"]
        assert bool(groups) is bool(together), kind
        if stats["reason"] is None:
            assert all(each["used"] == "wide_compiler" or each["reasons"] for each in groups), kind


class Wired(nn.Module):
    """Maps that read the input or what an earlier one gives, as wires say: (map, what it reads)."""

    def __init__(self, maps, wires):
        super().__init__()
        self.maps = nn.ModuleList([linear() for _ in range(maps)])
        self.wires = wires

    def forward(self, x):
        values = [x]
        for which, read in self.wires:
            values.append(torch.tanh(self.maps[which](values[read])))
        return torch.stack(values).sum(0)


@st.composite
def wirings(draw):
    maps, steps = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    wires = [(draw(st.integers(0, maps - 1)), draw(st.integers(0, step))) for step in range(steps)]
    return maps, tuple(wires)


@pytest.mark.long
@given(wirings(), st.sampled_from(BATCHED))
def test_any_wiring_of_maps_gives_the_same(wiring, strategy):
    torch.manual_seed(0)
    module = Wired(*wiring)
    plain, compiled = copy.deepcopy(module), CompileRouter("wired", module, execution_strategy=strategy)
    for step in range(2):
        x = drawn(3, DIM, seed=step)
        torch.testing.assert_close(passed(compiled, x, 0), passed(plain, x, 0), rtol=0, atol=1e-10)
    assert compiled.get_compilation_stats()["reason"] in (None, "no modules in it can be computed together")
    readers = {}
    for which, read in wiring[1]:
        readers.setdefault(read, set()).add(which)
    batched = compiled.get_compilation_stats()["batched_modules"]
    assert bool(batched) is any(len(each) > 1 for each in readers.values())


def test_training_ends_at_the_same_weights():
    ends = []
    for wrap in (lambda module: module, compile_module):
        module = made(next(each for each in MODELS if each.__name__ == "Ensemble"))
        called = wrap(module)
        optimizer = torch.optim.AdamW(called.parameters(), lr=0.01)
        for step in range(30):
            optimizer.zero_grad()
            (called(drawn(5, DIM, seed=step)) - drawn(5, DIM, seed=99)).square().mean().backward()
            optimizer.step()
        ends.append(module.state_dict())
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-8)
