import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.geometry.neighbours import check_reach, nearest


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=4),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(0, 4),
)
def test_those_heard_are_the_first_k_of_all_within_the_radius_by_distance_and_order(rows, k, radius):
    possible = [[reader != sender for sender in range(4)] for reader in range(len(rows))]
    heard = nearest(torch.tensor(rows, dtype=torch.float64), torch.tensor(possible), k, radius)
    for reader, row in enumerate(rows):
        within = [n for n in range(4) if n != reader and (radius is None or row[n] <= radius)]
        assert heard[reader] == sorted(within, key=lambda n: (row[n], n))[:k]


@pytest.mark.parametrize(
    ("k", "radius", "sentence"),
    [
        (0, None, "k must be a whole number of neighbours from 1 on, or None for all, but is 0"),
        (1.5, None, r"k must be a whole number .* but is 1\.5"),
        (None, -0.1, r"radius must be a distance from 0 on, or None for any, but is -0\.1"),
        (None, math.nan, r"radius must be .* but is nan"),
    ],
)
def test_a_reach_that_cannot_be_is_refused(k, radius, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_reach(k, radius)
    check_reach(None, None)
    check_reach(1, 0.0)
