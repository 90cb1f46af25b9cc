import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.species.cost import cost
from tests.fixtures.small_worlds import LENGTH, small_species, small_task

TASK = small_task()
D, R, H = 9, 2, 5
GENE = {"rank": 2.0, "hidden": 5.0, "activation": 1.0}


@pytest.mark.parametrize(("tokens", "examples"), [(0, 1), (1, 1), (7, 1), (30, 6)])
def test_cost_is_what_a_count_by_hand_gives(tokens, examples):
    flops = loads = 0
    loads += D  # the router's column
    for _ in range(examples * LENGTH):  # every token is asked for its logit
        flops += 2 * D
        loads += D + 1  # the token is read, the logit written
    loads += D * R + R * H + H * R + R * D  # the factors, once
    for _ in range(tokens):
        for rows, columns in ((D, R), (R, H), (H, R), (R, D)):
            flops += 2 * rows * columns
        flops += 2 * H  # bent
        loads += 2 * D  # what is read and what is answered
        loads += 2 * (R + H + H + R)  # in between: before and after the bend, each written and read
    assert cost(TASK, D, GENE, tokens, examples) == (flops, 4 * loads)


@given(
    st.sampled_from(["rank", "hidden"]),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 99),
)
def test_larger_genes_and_more_tokens_never_cost_less(name, rank, hidden, tokens):
    gene = {"rank": float(rank), "hidden": float(hidden), "activation": 0.0}
    small = cost(TASK, D, gene, tokens)
    for large in (
        cost(TASK, D, gene | {name: gene[name] + 1}, tokens),
        cost(TASK, D, gene, tokens + 1),
        cost(TASK, D, gene, tokens, 2),
    ):
        assert small[0] <= large[0]
        assert small[1] < large[1]


@pytest.mark.parametrize(
    ("capacity", "k", "tokens"), [(5, 2, LENGTH * 2 / 5), (5, 1, LENGTH / 5), (3, 8, LENGTH)]
)
def test_the_archive_compares_costs_at_an_even_load(capacity, k, tokens):
    family = small_species(TASK, "experts", capacity=capacity, experts_per_token=k)
    assert family.cost(tuple(sorted(GENE.items()))) == cost(TASK, D, GENE, tokens)
