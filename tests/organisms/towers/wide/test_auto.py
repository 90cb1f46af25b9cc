"""AUTO: by a rule in deterministic mode, else by a clock, whose choice is kept and changes no result."""

from collections import Counter

import pytest
import torch

from organisms.towers import ExecutionStrategy, WideRouter
from organisms.towers.wide import measure
from organisms.towers.wide.strategy import SMALL, by_size
from tests.organisms.towers.wide.shapes import collective, inputs, passed, with_strategy


@pytest.fixture
def any_order():
    """Leave deterministic mode, in which tests compute, for one test."""
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(True)


@pytest.fixture
def seconds(monkeypatch):
    """Let a pass take as long as a test says, by its kind: sequential, vmap, wide."""
    taken, calls, kinds = {}, [], {}

    def told(run, leaves, clock):
        way = kinds.setdefault(run, list(taken)[len(kinds) % len(taken)])
        calls.append(way)
        clock()
        run()
        return taken[way]

    monkeypatch.setattr(measure, "_seconds", told)
    monkeypatch.setattr(measure, "PATIENCE", float("inf"))
    return taken, calls


def choices(router):
    return set(router.get_wide_stats()["groups"][0]["chosen"].values())


@pytest.mark.parametrize("fast", ["sequential", "vmap", "wide_compiler"])
def test_the_fastest_way_is_measured_once_for_each_shape(any_order, seconds, fast):
    taken, calls = seconds
    taken.update({way: 1.0 + 0.1 * (way != fast) for way in ("sequential", "vmap", "wide_compiler")})
    base = collective(["normed"] * 2, 4)
    router = with_strategy(base, ExecutionStrategy.AUTO)
    for shape, measured in [((3, 4), 1), ((3, 4), 1), ((5, 4), 2)]:
        x = inputs(shape)
        wanted, found = passed(base, x, passes=4), passed(router, x, passes=4)
        assert all(torch.allclose(found[name], each, atol=1e-10) for name, each in wanted.items())
        assert len(calls) == measured * 3 * measure.ROUNDS
    group = router.get_wide_stats()["groups"][0]
    assert (group["used"], choices(router), len(group["chosen"])) == (fast, {fast}, 2)


def test_what_is_timed_follows_a_pass_of_its_own():
    done = []
    assert measure._seconds(lambda: done.append(1), [], lambda: float(len(done))) == 1
    assert len(done) == 2


def test_a_way_that_is_far_behind_is_not_tried_again(any_order, seconds):
    taken, calls = seconds
    taken.update({"sequential": 1.0, "vmap": 2.0, "wide_compiler": 1.1})
    passed(collective(["plain"] * 2, 4, strategy=ExecutionStrategy.AUTO), inputs((3, 4)), passes=4)
    assert Counter(calls) == {
        "sequential": measure.ROUNDS,
        "wide_compiler": measure.ROUNDS,
        "vmap": measure.FEWEST,
    }


def test_where_passes_are_long_few_rounds_are_enough(any_order, seconds, monkeypatch):
    taken, calls = seconds
    taken.update({"sequential": 1.0, "vmap": 1.1, "wide_compiler": 1.2})
    monkeypatch.setattr(measure, "PATIENCE", 0.0)
    passed(collective(["plain"] * 2, 4, strategy=ExecutionStrategy.AUTO), inputs((3, 4)), passes=4)
    assert set(Counter(calls).values()) == {measure.FEWEST}


@pytest.mark.parametrize("threads", [1, 2])
def test_both_clocks_run(any_order, monkeypatch, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    router = collective(["plain"] * 2, 4, strategy=ExecutionStrategy.AUTO)
    passed(router, inputs((3, 4)), passes=4)
    assert len(choices(router)) == 1


def test_a_measurement_has_no_consequences(any_order):
    """Buffers, gradients, caches and generators are those of four passes, not of those that were timed too."""
    base = collective(["normed", "normed"], 4)
    router, x = with_strategy(base, ExecutionStrategy.AUTO), inputs((3, 4))
    torch.manual_seed(0)
    wanted = passed(base, x, passes=4)
    found = passed(router, x, passes=4)
    assert choices(router) <= {"sequential", "vmap", "wide_compiler"}
    assert len(choices(router)) == 1
    assert all(torch.allclose(found[name], each, atol=1e-10) for name, each in wanted.items())


def test_in_deterministic_mode_the_size_decides(monkeypatch):
    monkeypatch.setattr(measure, "fastest", None)
    router = collective(["plain"] * 2, 4, strategy=ExecutionStrategy.AUTO)
    passed(router, inputs((3, 4)))
    assert router.get_wide_stats()["groups"][0]["used"] == "wide_compiler"
    passed(router, inputs((SMALL // 4, 4)), passes=1)
    group = router.get_wide_stats()["groups"][0]
    assert (group["used"], group["chosen"]) == ("sequential", {})
    assert by_size(SMALL, "cuda") is ExecutionStrategy.WIDE_COMPILER


def test_a_tower_alone_needs_no_choice(any_order):
    router = collective(["plain"], 4, strategy=ExecutionStrategy.AUTO)
    assert isinstance(router, WideRouter)
    passed(router, inputs((3, 4)), passes=3)
    assert choices(router) == {"sequential"}


def test_a_measurement_leaves_the_graph_of_its_input_alone(any_order):
    """The input has been made by the same towers, whose gradients are measured too."""
    router, x = collective(["plain"] * 2, 4, strategy=ExecutionStrategy.AUTO), inputs((3, 4))
    for _ in range(2):
        router.wide_forward(x.requires_grad_())
    assert choices(router) == set()
    y = router["tower_0"](x)
    router.wide_forward(y)["tower_1"].sum().backward()
    assert len(choices(router)) == 1
