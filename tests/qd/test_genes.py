import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.genes import GeneRange, crossed, random_genes, redrawn, shifted

SPACE = {
    "rank": GeneRange(2, 16, integer=True),
    "temperature": GeneRange(0.5, 2.0, log=True),
    "window": GeneRange(1, 64, integer=True, log=True),
}
FIRST = (("kept", 3.0), ("rank", 2.0), ("temperature", 0.7), ("window", 3.0))
SECOND = (("kept", 9.0), ("rank", 16.0), ("temperature", 1.9), ("window", 60.0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    st.integers(1, 40), st.integers(0, 40), st.booleans(), st.booleans(), st.integers(0, 999), st.floats(0, 1)
)
def test_values_stay_in_the_range_and_whole(low, width, integer, log, seed, share):
    gene = GeneRange(low, low + width, integer=integer, log=log)
    for value in (gene.draw(rng(seed)), gene.between(low, low + width, share)):
        assert low <= value <= low + width
        assert not integer or value.is_integer()


def test_whole_numbers_are_equally_likely():
    generator = rng()
    draws = [GeneRange(2, 5, integer=True).draw(generator) for _ in range(4000)]
    counts = np.bincount(np.array(draws, dtype=int))[2:]
    assert len(counts) == 4
    assert np.abs(counts - 1000).max() < 4 * math.sqrt(4000 * 0.25 * 0.75)  # four standard deviations


def test_logarithmic_draws_have_their_median_at_the_geometric_mean():
    generator = rng()
    draws = [GeneRange(0.25, 4.0, log=True).draw(generator) for _ in range(4000)]
    assert abs(np.mean(np.array(draws) < 1.0) - 0.5) < 4 * math.sqrt(0.25 / 4000)


def test_the_middle_of_a_logarithmic_gene_is_the_geometric_mean():
    assert GeneRange(1, 64, log=True).between(4.0, 16.0, 0.5) == pytest.approx(8.0)
    assert GeneRange(0, 64).between(4.0, 16.0, 0.5) == 10.0


def test_random_genes_are_sorted_and_named_draws_repeat():
    found = random_genes(SPACE, rng(5))
    assert [name for name, _ in found] == sorted(SPACE)
    assert found == random_genes(dict(reversed(SPACE.items())), rng(5))


def test_redrawn_at_rate_zero_keeps_all_and_at_one_draws_all():
    assert redrawn(FIRST, 0.0, SPACE, rng()) == FIRST
    assert dict(redrawn(FIRST, 1.0, SPACE, rng()))["kept"] == 3.0
    changed = [redrawn(FIRST, 1.0, SPACE, rng(seed)) != FIRST for seed in range(20)]
    assert all(changed)


def test_redrawn_happens_at_its_rate():
    wide = {"x": GeneRange(0.0, 1.0)}
    changed = [redrawn((("x", 2.0),), 0.1, wide, rng(seed)) != (("x", 2.0),) for seed in range(2000)]
    assert abs(np.mean(changed) - 0.1) < 4 * math.sqrt(0.09 / 2000)


def test_crossed_takes_each_parent_and_the_middle_a_third_each():
    found = [dict(crossed(FIRST, SECOND, SPACE, rng(seed)))["temperature"] for seed in range(1500)]
    shares = [np.mean([value == end for value in found]) for end in (0.7, 1.9)]
    assert all(abs(share - 1 / 3) < 4 * math.sqrt(2 / 9 / 1500) for share in shares)
    assert all(0.7 <= value <= 1.9 for value in found)
    assert all(dict(crossed(FIRST, SECOND, SPACE, rng(seed)))["kept"] == 3.0 for seed in range(5))


@pytest.mark.parametrize("ends", [(2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_ends_must_be_finite_and_in_order(ends):
    with pytest.raises(ValueError, match="a gene needs finite ends, low <= high"):
        GeneRange(*ends)


def test_ends_of_an_integer_gene_must_be_whole():
    with pytest.raises(ValueError, match="an integer gene needs whole ends"):
        GeneRange(0.5, 2, integer=True)


def test_a_logarithmic_gene_must_be_positive():
    with pytest.raises(ValueError, match="a logarithmic gene needs low > 0; it is 0"):
        GeneRange(0, 2, log=True)


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_the_rate_must_be_a_probability(rate):
    with pytest.raises(ValueError, match="gene_rate must be a probability"):
        redrawn(FIRST, rate, SPACE, rng())


def test_missing_genes_are_named():
    with pytest.raises(ValueError, match=r"lacks the genes \['window'\] of the space"):
        redrawn(FIRST[:3], 0.0, SPACE, rng())
    with pytest.raises(ValueError, match=r"lacks the genes \['rank', 'temperature', 'window'\]"):
        crossed(FIRST, SECOND[:1], SPACE, rng())


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_shifted_genes_move_by_shares_of_their_ranges_to_the_ends_at_most(shifts):
    moved = dict(shifted(FIRST, shifts, SPACE))
    assert moved.pop("kept") == 3.0
    for (name, value), shift in zip(sorted(moved.items()), shifts, strict=True):
        share = min(max(SPACE[name].share(dict(FIRST)[name]) + shift, 0.0), 1.0)
        assert value == SPACE[name].between(SPACE[name].low, SPACE[name].high, share)


def test_genes_that_are_not_shifted_stay():
    assert dict(shifted(FIRST, [0.0, 0.0, 0.0], SPACE)) == pytest.approx(dict(FIRST))
    assert dict(shifted(FIRST, [9.0, -9.0, 9.0], SPACE)) == pytest.approx(
        {"kept": 3.0, "rank": 16.0, "temperature": 0.5, "window": 64.0}
    )
