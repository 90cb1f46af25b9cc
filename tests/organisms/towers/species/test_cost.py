import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.species.cost import cost
from tests.fixtures.small_worlds import LENGTH, small_species, small_task

D = 9
GENE = {"width": 5.0, "expansion": 2.0, "stages": 2.0, "attention": 1.0, "activation": 0.0}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("stages", "attention"), [(1, 0), (2, 0), (1, 1), (3, 1)])
def test_cost_is_what_a_count_by_hand_gives(stages, attention, causal):
    W, H = 5, 10
    flops = loads = 0
    matrices = [(D, W), *[(W, H), (H, W)] * stages, *[(W, W)] * (4 * attention), (W, D)]
    for rows, columns in matrices:
        loads += rows * columns  # once
        flops += LENGTH * 2 * rows * columns
    for token in range(LENGTH):
        loads += D + D  # what is read, what is said
        loads += W + W  # the stream, written by the first matrix and read by the last
        for _ in range(stages):
            flops += H  # bent
            loads += (
                W + W + 2 * (H + H) - 2 * H + 2 * H
            )  # the stream in and out; before and after the bend, both ways
        if attention:
            loads += 2 * 5 * W  # the stream in, queries, keys, values and what is found
            for _ in range(token + 1 if causal else LENGTH):
                flops += (
                    2 * W + 5 + 2 * W
                )  # how much the pair counts, its exponential, and what is taken from it
    gene = GENE | {"stages": float(stages), "attention": float(attention)}
    assert cost(small_task(causal=causal), D, gene) == (flops, 4 * loads)


@given(st.sampled_from(["width", "expansion", "stages", "attention"]), st.booleans())
def test_a_larger_gene_costs_more(name, causal):
    task, small = small_task(causal=causal), GENE | {"attention": 0.0}
    assert all(
        more > less
        for more, less in zip(
            cost(task, D, small | {name: small[name] + 1}), cost(task, D, small), strict=True
        )
    )


def test_the_archive_compares_these_costs():
    family = small_species(small_task(), "towers")
    assert family.cost(tuple(sorted(GENE.items()))) == cost(family.task, D, GENE)


@pytest.mark.parametrize("messages", [1, 3])
def test_messages_cost_a_second_pass_and_the_opinions_that_are_heard(messages):
    task = small_task()
    flops, loads = cost(task, D, GENE)
    mixed = (
        LENGTH * (messages + 1) * D
    )  # what each neighbour says, times its share, and its sum times how well it listens
    assert cost(task, D, GENE, messages) == (2 * flops + 2 * mixed, 2 * loads + 4 * mixed)
    family = small_species(task, "towers", messages=messages)
    assert family.cost(tuple(sorted(GENE.items()))) == cost(task, D, GENE, messages)
