from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.flow import FlowLayer
from organisms.flow.species.patterns import Reach, flows
from organisms.pool import Occupant
from qd import variation
from qd.genes import random_genes
from tests.fixtures.small_worlds import examples_of, interface_of, small_species, small_task

FAMILY = small_species(small_task(), "flow", max_rank=8, max_channels=3)
H = torch.randn(2, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
DISTANCES = torch.tensor(FAMILY.task.distances)
SIZES = ("channels", "rank")


def rng(seed=0):
    return np.random.default_rng(seed)


def genes(**values):
    own = {"channels": 2.0, "positions": 3.0, "rank": 6.0, "window": 3.0} | values
    return tuple(sorted((name, float(value)) for name, value in own.items()))


def pattern(seed=0, **values):
    return FAMILY.random_genome(0, genes(**values), rng(seed))


def said(genome):
    """What a pattern gives to every token."""
    gene = dict(genome.genes) | {"channels": len(genome.arrays["match"])}
    arrays = {name: torch.tensor(array, dtype=torch.float64)[None] for name, array in genome.arrays.items()}
    given_BnSR = flows(arrays, Reach.of([gene], DISTANCES), H, DISTANCES, causal=False).given_BnSR
    return given_BnSR[:, 0] @ arrays["write"][0]


def test_an_organism_has_room_for_the_largest_pattern():
    stacks = FAMILY.organism({}).pool.stacks
    assert {name: tuple(stack.shape[1:]) for name, stack in stacks.items()} == {
        **dict.fromkeys(("decay", "level"), (3,)),
        **dict.fromkeys(("match", "value"), (3, 8, 8)),
        **dict.fromkeys(("look", "offer"), (9, 8)),
        "intensity": (3, 8),
        "route": (9,),
        "write": (8, 9),
    }


@pytest.mark.parametrize(("most", "high"), [(None, 5.0), (3, 3.0), (99, 5.0)])
def test_genes_reach_as_far_as_the_task(most, high):
    line = small_task(places=np.arange(5.0)[:, None])
    found = small_species(line, "flow", max_window=most, max_positions=8).genes
    assert (found["window"].low, found["window"].high) == (2, high)
    assert found["positions"].high == 5


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_a_pattern_that_grows_gives_what_it_gave(seed):
    first, second = (random_genes(FAMILY.genes, rng(seed + place)) for place in (0, 1))
    larger = {name: max(dict(first)[name], dict(second)[name]) for name in SIZES}
    one = FAMILY.random_genome(0, first, rng(seed))
    grown = FAMILY.fitted(one, tuple(sorted((dict(first) | larger).items())), rng(seed + 2))
    torch.testing.assert_close(said(grown), said(one), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_what_has_grown_learns_and_padding_does_not(name):
    """What is zero for a new unit, so that it changes nothing, has a gradient at once."""
    large = {"channels": 2, "rank": 6} | {name: {"channels": 3, "rank": 8}[name]}
    genome = replace(FAMILY.fitted(pattern(), genes(**large), rng(7)), genes=genes(**large))
    organism = FAMILY.organism(interface_of(FAMILY))
    organism.pool.graft(0, genome, Occupant.guest(genome.genes))
    stacks = {name: stack.requires_grad_() for name, stack in organism.pool.stacks.items()}
    loss = organism.training_losses(*examples_of(FAMILY.task)).sum()
    slopes = dict(
        zip(stacks, torch.autograd.grad(loss, stacks.values(), materialize_grads=True), strict=True)
    )
    new = slice(int(dict(genes())[name]), None)
    added = {
        "channels": [slopes["value"][0, new]],
        "rank": [
            slopes["match"][0, :2, new, :6],
            slopes["match"][0, :2, :6, new],
            slopes["value"][0, :2, :6, new],
        ],
    }[name]
    assert all(slope.abs().sum() > 0 for slope in added)
    own = organism.pool.trimmed(
        {name: np.ones_like(slope[0]) for name, slope in slopes.items()}, genome.genes
    )
    for array, slope in slopes.items():
        padded = np.zeros_like(slope[0])
        padded[tuple(slice(size) for size in own[array].shape)] = 1
        assert not slope[0].numpy()[padded == 0].any(), array
        assert not slope[1:].any()


@pytest.mark.parametrize("name", SIZES)
def test_units_that_give_nothing_are_the_first_to_go(name):
    """A pattern that has grown and shrinks again has its own units, in their order."""
    grown = FAMILY.fitted(pattern(), genes(**{name: {"channels": 3, "rank": 8}[name]}), rng(7))
    back = FAMILY.fitted(grown, genes(), rng(8))
    assert all(np.array_equal(back.arrays[array], pattern().arrays[array]) for array in back.arrays)


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_a_pattern_is_found_again_behind_any_order_and_under_noise(seed):
    one = FAMILY.random_genome(0, random_genes(FAMILY.genes, rng(seed)), rng(seed))
    noisy = variation.gaussian(one, 0.01, 0.0, FAMILY.genes, lambda genome, _: genome, rng(seed))
    arrays = dict(noisy.arrays)
    for axis in FAMILY.hidden_axes.values():
        order = rng(seed).permutation(arrays[axis[0][0]].shape[axis[0][1]])
        arrays |= {array: arrays[array].take(order, at) for array, at in axis}
    found = FAMILY.aligned(replace(noisy, arrays=arrays), like=one)
    assert all(np.array_equal(found.arrays[name], noisy.arrays[name]) for name in noisy.arrays)


def test_what_is_drawn_has_numbers_and_scores_of_variance_1():
    family = small_species(small_task(), "flow", dim=400, max_rank=64)
    one = family.random_genome(0, genes(rank=64), rng())
    h = rng(1).standard_normal((200, 400))
    z, o = h @ one.arrays["look"], h @ one.arrays["offer"]
    assert abs(z.var() - 1) < 0.1
    assert abs(o.var() - 1) < 0.1
    assert abs((z @ one.arrays["match"][0] @ o.T).var() - 1) < 0.2
    assert abs((h @ one.arrays["route"]).var() - 1) < 0.3
    assert abs((o @ one.arrays["value"][0] @ one.arrays["write"]).var() - 0.25) < 0.05


@pytest.mark.parametrize("causal", [False, True])
def test_one_pattern_of_one_number_is_the_flow_of_the_library(causal):
    """There tokens mix the scores of patterns, and numbers are turned by rotary angles; of one neither shows."""
    layer = FlowLayer(9, 9, 1, num_channels=1, reduced_dim=1, window=4, top_k=3, causal=causal).double()
    with torch.no_grad():
        layer.intensity.copy_(0.7 * layer.receive)
        layer.intensity_bias.fill_(0.3)
        layer.patterns.fill_(2.0)
    arrays = {
        "look": layer.receive.T[None],
        "offer": layer.send.T[None],
        "match": layer.patterns,
        "decay": layer.decays,
        "intensity": torch.full((1, 1, 1), 0.7, dtype=torch.float64),
        "level": layer.intensity_bias[None],
        "value": torch.ones(1, 1, 1, 1, dtype=torch.float64),
    }
    places = torch.arange(7, dtype=torch.float64)
    line = (places[:, None] - places).abs()
    found = flows(arrays, Reach.of([{"window": 4, "positions": 3, "channels": 1}], line), H, line, causal)
    matrix = found.rows_BnCSS * found.intensity_BnCS.unsqueeze(-1)
    torch.testing.assert_close(matrix[:, 0], layer(H)[0])
