"""A module as a wide router."""

import copy

import pytest
import torch

from organisms.towers import CompileRouter, ExecutionStrategy, WideRouter, compile_module
from tests.organisms.towers.compile.models import DIM, MODELS, Ensemble, Layered, SloppyModel
from tests.organisms.towers.compile.test_models import drawn, made, passed


@pytest.mark.parametrize("kind", [Ensemble, Layered, SloppyModel])
@pytest.mark.parametrize("strategy", ExecutionStrategy)
def test_a_wide_router_computes_what_the_module_does(kind, strategy):
    plain = made(kind)
    wide = CompileRouter.from_module(made(kind)).build_wide_router(execution_strategy=strategy)
    assert isinstance(wide, WideRouter)
    for step in range(3):
        x = drawn(4, DIM, seed=step)
        found, wanted = passed(wide, x, step), passed(plain, x, step)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    groups = wide.get_wide_stats()["groups"]
    assert len(groups) == len(MODELS[kind][0])
    if strategy is not ExecutionStrategy.AUTO:
        assert all(each["used"] == strategy.value for each in groups)


def test_its_towers_are_what_is_computed_together():
    module, x = made(Ensemble).eval(), drawn(4, DIM)
    wide = compile_module(module, "model").build_wide_router()
    assert wide.tower_names == [f"model/members/{i}" for i in range(3)]
    wanted = [each(x) for each in copy.deepcopy(module).members]
    for _ in range(2):
        found = wide.wide_forward(x)
    torch.testing.assert_close(list(found.values()), wanted)
    assert len(list(wide.parameters())) == len(list(module.parameters()))


def test_its_state_round_trips():
    wide, other = (
        compile_module(made(Ensemble, seed), "model").build_wide_router().eval() for seed in (0, 1)
    )
    x = drawn(4, DIM)
    assert not torch.allclose(other(x), wide(x))
    other.load_state_dict(wide.state_dict())
    torch.testing.assert_close(other(x), wide(x))
    torch.testing.assert_close(copy.deepcopy(wide)(x), wide(x))


def test_a_module_without_towers_has_none_to_ask():
    wide = compile_module(SloppyModel()).build_wide_router()
    assert wide.tower_names == []
    with pytest.raises(ValueError, match="has no registered tower"):
        wide.wide_forward(drawn(4, DIM))
