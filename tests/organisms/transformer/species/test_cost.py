"""What a shard costs, counted by hand, and what its options refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.options import Sizes
from organisms.pseudopods.species.cost import cost as cost_of_head
from organisms.transformer.species.cost import cost
from organisms.transformer.species.options import TransformerOptions
from tests.fixtures.small_worlds import LENGTH, small_species, small_task

D = 9
GENE = {"hidden": 5.0, "width": 4.0}


@pytest.mark.parametrize("causal", [False, True])
def test_cost_is_what_a_count_by_hand_gives(causal):
    task, W, H = small_task(causal=causal), 4, 5
    flops, loads = 0, 4 * D * W + 2 * D * H  # the matrices, once
    for token in range(LENGTH):
        flops += 3 * 2 * D * W  # query, key and value
        flops += (token + 1 if causal else LENGTH) * (2 * W + 5 + 2 * W)  # scores, exponentials, mixture
        flops += 2 * W * D  # what the head writes
        flops += 2 * D * H + 2 * H + 2 * H * D  # the feed-forward network
        loads += D + D  # the token is read, what is written for it
        loads += 2 * (3 * W + W)  # each written and read
        loads += 2 * H + 2 * H  # before and after the activation
    assert cost(task, D, GENE) == pytest.approx((flops, 4 * loads), rel=1e-12)


@given(width=st.integers(1, 9), hidden=st.integers(1, 99), causal=st.booleans())
def test_its_head_costs_what_a_pseudopod_of_equal_sizes_costs_that_sees_everything(width, hidden, causal):
    task = small_task(causal=causal)
    gene = {"width": float(width), "hidden": float(hidden)}
    whole, _ = cost(task, D, gene)
    head, _ = cost_of_head(task, D, {"rank": width, "width": width, "window": 1e9})
    assert whole - head == LENGTH * (4 * D * hidden + 2 * hidden)


def test_the_archive_compares_what_is_counted():
    family = small_species(small_task(), "transformer")
    assert family.cost(tuple(sorted(GENE.items()))) == cost(family.task, D, GENE)


@pytest.mark.parametrize("name", ["width", "hidden"])
def test_the_smallest_size_is_at_most_the_largest(name):
    options = TransformerOptions(**{f"min_{name}": 3, f"max_{name}": 2})
    (broken,) = options.broken_rules(Sizes())
    assert broken.keys == (f"min_{name}", f"max_{name}")
    assert broken.sentence == f"must be at most max_{name} (2), not 3"
    assert list(TransformerOptions().broken_rules(Sizes())) == []
