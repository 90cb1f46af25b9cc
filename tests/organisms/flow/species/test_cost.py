import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.flow.species.cost import cost
from tests.fixtures.small_worlds import LENGTH, small_species, small_task

D = 9
GENE = {"channels": 2.0, "positions": 3.0, "rank": 5.0, "window": 3.0}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("examples", [1, 4])
def test_cost_is_what_a_count_by_hand_gives_where_all_tokens_mix_it(causal, examples):
    task, R, C, K = small_task(causal=causal), 5, 2, 3
    flops = 0
    loads = D + 3 * D * R + C * 2 * R * R  # the router's column and the matrices, once
    loads += C * (R + 1 + 1)  # intensity, its level, the decay
    for _ in range(examples):
        for token in range(LENGTH):
            flops += 2 * D + 2 * D * R  # the logit, and what is offered
            loads += D + 1 + R  # the token is read, its logit and offer written
            flops += 2 * D * R  # what it looks for
            loads += D + 2 * R  # read, and written and read
            seen = int(task.visible(3.0)[token].sum())
            held = min(K, seen)
            for _ in range(C):
                flops += 2 * R * R + 2 * R  # turned by the pattern, and its intensity
                flops += seen * (
                    2 * R + 3
                )  # a score, its distance's cost, and whether it is one of the K highest
                flops += held * 5 + held * 2 * R  # its exponential, and what is taken
                flops += 2 * R * R  # turned by the value
                loads += 2 * R + 2 * held + 2 * R  # each written and read
            flops += 2 * R * D
            loads += 2 * R + D
    assert cost(task, D, GENE, examples * LENGTH, examples) == pytest.approx((flops, 4 * loads), rel=1e-12)


@given(st.sampled_from(sorted(GENE)), st.booleans())
def test_a_larger_gene_costs_more(name, causal):
    task = small_task(causal=causal)
    more, less = cost(task, D, GENE | {name: GENE[name] + 1}, 5), cost(task, D, GENE, 5)
    assert more[0] > less[0]
    assert more[1] >= less[1]


@pytest.mark.parametrize(("capacity", "k", "tokens"), [(5, 2, LENGTH * 2 / 5), (3, 8, LENGTH)])
def test_the_archive_compares_costs_at_an_even_load(capacity, k, tokens):
    family = small_species(small_task(), "flow", capacity=capacity, patterns_per_token=k)
    assert family.cost(tuple(sorted(GENE.items()))) == cost(family.task, D, GENE, tokens)
