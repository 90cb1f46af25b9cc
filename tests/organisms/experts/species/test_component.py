from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.species.component import random_expert, with_hidden
from organisms.pool import Occupant, Pool
from organisms.residual.activations import ACTIVATION_NAMES, GENE_ACTIVATIONS
from qd import variation
from qd.genes import GeneRange, random_genes
from qd.records import ComponentId, Genes, Genome
from tests.fixtures.small_worlds import small_species, small_task
from tests.organisms.layers.definitions import PLAIN

DIM = 9
TASK = small_task()
IDENTITY = ComponentId(1, 2, 3)


def rng(seed=0):
    return np.random.default_rng(seed)


def genes(**values) -> Genes:
    return tuple(sorted(({"activation": 1.0, "hidden": 6.0, "rank": 3.0} | values).items()))


def expert(seed=0, **values) -> Genome:
    return random_expert("experts", DIM, 0, genes(**values), rng(seed))


def product(genome, name):
    return genome.arrays[f"{name}.U"].astype(np.float64) @ genome.arrays[f"{name}.V"].astype(np.float64)


def answers(genome, tokens):
    bend = PLAIN[ACTIVATION_NAMES[int(dict(genome.genes)["activation"])]]
    hidden = bend(torch.from_numpy(tokens @ product(genome, "up"))).numpy()
    return hidden @ product(genome, "down")


TOKENS = rng(5).normal(size=(20, DIM))


class TestDrawn:
    def test_genes_reach_as_far_as_the_options_say(self):
        assert small_species(TASK, "experts", max_rank=4, max_hidden=19).genes == {
            "activation": GeneRange(0, 2, integer=True),
            "hidden": GeneRange(4, 19, integer=True, log=True),
            "rank": GeneRange(2, 4, integer=True),
        }
        narrow = small_species(TASK, "experts", max_rank=1, max_hidden=1).genes
        assert (narrow["rank"], narrow["hidden"]) == (
            GeneRange(1, 1, integer=True),
            GeneRange(1, 1, integer=True, log=True),
        )

    def test_every_kind_gives_nothing_for_nothing(self):
        """On which the padding rests: a hidden number that reads nothing must say nothing."""
        assert [bend(torch.zeros(1)).item() for bend in GENE_ACTIVATIONS] == [0.0] * len(ACTIVATION_NAMES)

    def test_logits_and_hidden_numbers_have_variance_1_and_answers_a_quarter_of_what_goes_out(self):
        drawn = random_expert("experts", 300, 0, genes(hidden=200.0, rank=40.0), rng())
        tokens = rng(1).normal(size=(500, 300))
        logits = [
            tokens @ random_expert("experts", 300, 0, genes(), rng(seed)).arrays["route"]
            for seed in range(20)
        ]
        assert np.std(logits) == pytest.approx(1, rel=0.1)
        assert (tokens @ product(drawn, "up")).std() == pytest.approx(1, rel=0.1)
        assert (rng(2).normal(size=(500, 200)) @ product(drawn, "down")).std() == pytest.approx(0.5, rel=0.1)


class TestHidden:
    @pytest.mark.parametrize("activation", range(3))
    def test_a_wider_expert_answers_as_before(self, activation):
        narrow = expert(activation=float(activation))
        wide = with_hidden(narrow, 11, rng(3))
        assert {name: array.shape for name, array in wide.arrays.items()} == {
            "down.U": (11, 3),
            "down.V": (3, DIM),
            "route": (DIM,),
            "up.U": (DIM, 3),
            "up.V": (3, 11),
        }
        np.testing.assert_allclose(answers(wide, TOKENS), answers(narrow, TOKENS), rtol=1e-12)

    def test_what_is_new_reads_a_little_and_says_nothing(self):
        """Ways out get a gradient at once, because what goes in is not zero."""
        narrow = expert()
        wide = with_hidden(narrow, 60, rng(3))
        new = wide.arrays["up.V"][:, 6:]
        assert new.std() == pytest.approx(0.1 * np.sqrt(np.mean(narrow.arrays["up.V"] ** 2)), rel=0.1)
        assert not wide.arrays["down.U"][6:].any()
        assert all(array.dtype == np.float32 for array in wide.arrays.values())

    def test_a_narrower_expert_keeps_the_numbers_whose_way_through_weighs_most(self):
        wide = expert()
        weights = [
            np.linalg.norm(product(wide, "up")[:, j]) * np.linalg.norm(product(wide, "down")[j])
            for j in range(6)
        ]
        for hidden in (5, 3, 1):
            kept = sorted(sorted(range(6), key=lambda j: -weights[j])[:hidden])
            narrow = with_hidden(wide, hidden, rng(3))
            np.testing.assert_array_equal(narrow.arrays["up.V"], wide.arrays["up.V"][:, kept])
            np.testing.assert_array_equal(narrow.arrays["down.U"], wide.arrays["down.U"][kept])
            for name in ("up.U", "down.V", "route"):
                np.testing.assert_array_equal(narrow.arrays[name], wide.arrays[name])

    def test_a_number_that_says_nothing_goes_first(self):
        wide = expert()
        wide.arrays["down.U"][2] = 0
        np.testing.assert_allclose(
            answers(with_hidden(wide, 5, rng()), TOKENS), answers(wide, TOKENS), rtol=1e-12
        )

    def test_there_and_back_is_the_same_expert(self):
        given_ = expert()
        again = with_hidden(with_hidden(given_, 30, rng(1)), 6, rng(2))
        assert {n: a.tobytes() for n, a in again.arrays.items()} == {
            n: a.tobytes() for n, a in given_.arrays.items()
        }

    def test_of_its_own_width_it_is_as_it_was_and_nothing_is_drawn(self):
        stream, given_ = rng(7), expert()
        same = with_hidden(given_, 6, stream)
        assert {n: a.tobytes() for n, a in same.arrays.items()} == {
            n: a.tobytes() for n, a in given_.arrays.items()
        }
        assert stream.random() == rng(7).random()

    @given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
    def test_no_width_changes_what_is_given(self, rank, hidden, wanted, seed):
        given_ = expert(seed, rank=float(rank), hidden=float(hidden))
        before = {name: array.tobytes() for name, array in given_.arrays.items()}
        found = with_hidden(given_, wanted, rng(seed))
        assert found.arrays["up.V"].shape == (rank, wanted)
        assert found.arrays["down.U"].shape == (wanted, rank)
        assert before == {name: array.tobytes() for name, array in given_.arrays.items()}


# Ranks above the stream's width, where no matrix has so many singular values, are among them.
SPECIES = [
    small_species(TASK, "experts"),
    small_species(TASK, "experts", max_rank=7, max_hidden=7),
    small_species(TASK, "experts", dim=3, max_rank=8, max_hidden=12),
]


def pool_of(family) -> Pool:
    return Pool(family.family, family.layout, family.depth, family.capacity)


def parent(family, seed) -> Genome:
    return family.random_genome(0, random_genes(family.genes, rng(seed)), rng(seed))


@given(st.sampled_from(SPECIES), st.floats(0, 1), st.integers(0, 999))
def test_larger_genes_without_noise_leave_all_answers_as_they_are(family, share, seed):
    one = parent(family, seed)
    sizes = {
        name: family.genes[name].between(value, family.genes[name].high, share)
        for name, value in one.genes
        if name != "activation"
    }
    larger = tuple(sorted((dict(one.genes) | sizes).items()))
    grown = variation.resize(family.fitted(one, larger, rng(1)), larger, family.ranks, rng(2))
    pool_of(family).check(grown)
    tokens = rng(seed).normal(size=(5, family.dim))
    np.testing.assert_allclose(answers(grown, tokens), answers(one, tokens), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(grown.arrays["route"], one.arrays["route"])


def test_a_line_from_an_expert_to_itself_answers_as_it_does():
    family, one = SPECIES[0], parent(SPECIES[0], 3)

    def fit(genome, values):
        return family.fitted(genome, values, rng())

    born = variation.line(one, one, 0.0, 0.3, 0.0, family.genes, rng(), family.ranks, fit)
    np.testing.assert_allclose(answers(born, TOKENS), answers(one, TOKENS), rtol=1e-4, atol=1e-5)


def shuffled(genome, seed) -> Genome:
    """The same expert with its hidden numbers in another order."""
    order = rng(seed).permutation(int(dict(genome.genes)["hidden"]))
    moved = {"up.V": genome.arrays["up.V"][:, order], "down.U": genome.arrays["down.U"][order]}
    return replace(genome, arrays=dict(genome.arrays) | moved)


@given(st.sampled_from(SPECIES), st.integers(0, 999))
def test_an_expert_is_found_again_behind_any_order_and_under_noise(family, seed):
    one = parent(family, seed)
    noisy = variation.gaussian(one, 0.01, 0.0, family.genes, lambda genome, _: genome, rng(seed))
    found = family.aligned(shuffled(noisy, seed), like=one)
    assert {name: array.tobytes() for name, array in found.arrays.items()} == {
        name: array.tobytes() for name, array in noisy.arrays.items()
    }


@given(st.sampled_from(SPECIES), st.integers(0, 999))
def test_no_other_order_is_nearer_and_no_answer_changes(family, seed):
    one = parent(family, seed)
    other = family.random_genome(0, one.genes, rng(seed + 1000))

    def distance(genome):
        return sum(np.square(product(genome, name) - product(one, name)).sum() for name in ("up", "down"))

    found, tokens = family.aligned(other, like=one), rng(1).normal(size=(5, family.dim))
    np.testing.assert_allclose(answers(found, tokens), answers(other, tokens), rtol=1e-5, atol=1e-6)
    others = [other, *(shuffled(other, turn) for turn in range(20))]
    assert all(distance(found) <= distance(genome) * (1 + 1e-9) for genome in others)


def test_a_child_of_two_equal_parents_is_like_them_in_whatever_order_they_come():
    family, one = SPECIES[0], parent(SPECIES[0], 3)
    fit = lambda genome, values: family.fitted(genome, values, rng())  # noqa: E731
    born = variation.line(
        *(one, shuffled(one, 1), 0.0, 0.3, 0.0, family.genes, rng(), family.ranks),
        fit,
        family.aligned,
    )
    np.testing.assert_allclose(answers(born, TOKENS), answers(one, TOKENS), rtol=1e-4, atol=1e-5)


def test_in_the_pool_all_beyond_its_own_sizes_is_zero():
    family = small_species(TASK, "experts", max_rank=6, max_hidden=12)
    pool, given_ = pool_of(family), expert(rank=3.0, hidden=8.0)
    pool.graft(2, given_, Occupant(IDENTITY, (), IDENTITY, given_.genes))
    for name, array in given_.arrays.items():
        stack = pool.stacks[name][2].clone()
        np.testing.assert_array_equal(stack[tuple(map(slice, array.shape))], array)
        stack[tuple(map(slice, array.shape))] = 0
        assert not stack.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"hidden": 5.0},
            r"down.U of shape \(6, 3\) does not fit a slot of \(7, 4\): the genes say \(5.0, 3.0\)",
        ),
        (
            {"rank": 2.0},
            r"down.U of shape \(6, 3\) does not fit a slot of \(7, 4\): the genes say \(6.0, 2.0\)",
        ),
    ],
)
def test_genes_that_lie_about_the_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pool_of(SPECIES[0]).check(replace(expert(), genes=genes(**change)))


def test_a_column_of_another_width_is_refused():
    given_ = expert()
    longer = replace(given_, arrays=given_.arrays | {"route": np.ones(DIM + 1, np.float32)})
    with pytest.raises(ValueError, match=r"route of shape \(10,\) does not fit a slot of \(9,\)"):
        pool_of(SPECIES[0]).check(longer)


def test_an_expert_wider_than_the_pool_is_refused():
    with pytest.raises(ValueError, match=r"does not fit a slot of \(7, 4\): the genes say \(8.0, 3.0\)"):
        pool_of(SPECIES[0]).check(expert(hidden=8.0))
