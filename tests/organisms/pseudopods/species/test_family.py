import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.options import Sizes
from organisms.pseudopods.species import PseudopodOptions, Pseudopods
from qd.genes import GeneRange, random_genes
from tests.fixtures.small_worlds import small_species, small_task

TASK = small_task()


def on_a_line(length, causal=False):
    return small_task(causal=causal, places=np.arange(length, dtype=np.float64)[:, None])


def genes(**values):
    whole = {"rank": 2.0, "temperature": 1.0, "width": 3.0, "window": 4.0} | values
    return tuple(sorted(whole.items()))


def test_the_largest_window_hides_nothing_and_a_smaller_one_would():
    for task in (TASK, on_a_line(16), on_a_line(7)):
        high = small_species(task).genes["window"].high
        assert (task.distances < high).all()
        assert not (task.distances < high - 1).all()


@pytest.mark.parametrize(
    ("length", "most", "expected"),
    [
        (16, None, GeneRange(2, 16, integer=True, log=True)),
        (16, 5, GeneRange(2, 5, integer=True)),
        (16, 99, GeneRange(2, 16, integer=True, log=True)),
        (16, 1, GeneRange(1, 1, integer=True)),
        (7, None, GeneRange(2, 7, integer=True)),
    ],
)
def test_windows_reach_as_far_as_the_options_and_the_task_let_them(length, most, expected):
    assert small_species(on_a_line(length), max_window=most).genes["window"] == expected


def test_other_genes_are_as_the_options_say():
    made = small_species(TASK, max_rank=1, max_width=9, min_temperature=0.25, max_temperature=4.0)
    assert made.genes["rank"] == GeneRange(1, 1, integer=True)
    assert made.genes["width"] == GeneRange(4, 9, integer=True)
    assert made.genes["temperature"] == GeneRange(0.25, 4.0, log=True)


def test_an_organism_starts_empty_with_room_for_the_largest_head():
    family = small_species(TASK, depth=2, capacity=5, max_rank=4, max_width=6)
    pool = family.organism({}).pool
    assert {name: tuple(stack.shape) for name, stack in pool.stacks.items()} == {
        "qk.U": (10, 9, 4),
        "qk.V": (10, 4, 9),
        "ov.U": (10, 9, 6),
        "ov.V": (10, 6, 9),
    }


def test_a_drawn_head_is_half_as_large_where_it_writes():
    family = Pseudopods(TASK, Sizes(dim=400), PseudopodOptions())
    arrays = family.random_genome(0, genes(rank=16.0, width=16.0), np.random.default_rng(0)).arrays
    for name, std in (("qk.U", 1.0), ("qk.V", 1.0), ("ov.U", 1.0), ("ov.V", 0.5)):
        assert arrays[name].std() == pytest.approx(std / math.sqrt(400), rel=0.05)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [1.0, 2.0, 3.5, 100.0])
def test_what_is_visible(window, causal):
    task = replace(TASK, causal=causal)
    seen = task.visible(window)
    for i in range(task.length):
        for j in range(task.length):
            near = math.dist(task.positions[i], task.positions[j]) < window
            assert seen[i, j] == (near and (j <= i or not causal))
    assert seen.diagonal().all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [1.0, 4.0, 100.0])
def test_cost_is_what_a_count_by_hand_gives(window, causal):
    S, D, R, W = 7, 9, 2, 3
    flops, loads = 0, 0
    for _ in range(S):  # a multiply and an add for each entry of each factor
        for inner in (R, R, W, W):  # queries, keys, values, what is written
            flops += 2 * D * inner
    for i in range(S):
        for j in range(S):
            if (abs(i - j) < window) and (j <= i or not causal):
                flops += 2 * R + 2 * W + 5  # score, mixture, and scale, mask, exp, sum, divide
    loads += sum(D * inner for inner in (R, R, W, W))  # the factors
    loads += 2 * S * D  # what is read and what is written
    loads += 2 * S * (R + R + W + W)  # queries, keys, values and mixtures, each written and read
    found = small_species(on_a_line(S, causal)).cost(genes(window=window))
    assert found == (flops, 4 * loads)


@given(st.sampled_from(["rank", "width", "window"]), st.integers(0, 99))
@settings(deadline=None)
def test_a_larger_gene_never_costs_less(name, seed):
    family = small_species(on_a_line(16))
    small = dict(random_genes(family.genes, np.random.default_rng(seed)))
    large = small | {name: small[name] + 1}
    costs = [family.cost(tuple(sorted(values.items()))) for values in (small, large)]
    assert costs[0][0] <= costs[1][0]
    assert costs[0][1] <= costs[1][1]
    assert family.cost(tuple(sorted((small | {"temperature": 9.0}).items()))) == costs[0]


def test_no_range_is_known_beforehand():
    assert small_species(TASK).analytic_ranges() == {}
