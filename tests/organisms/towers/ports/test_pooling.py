import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers.ports.pooling import Encoded, pooled

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def padded(lengths, left):
    """Tokens of some lengths, with padding of NaN on one side."""
    T, source = max(lengths), torch.Generator().manual_seed(len(lengths))
    rows = [torch.randn(length, 3, generator=source, dtype=torch.float64) for length in lengths]
    hidden = torch.full((len(lengths), T, 3), torch.nan, dtype=torch.float64)
    counts = torch.zeros(len(lengths), T, dtype=torch.bool)
    for n, row in enumerate(rows):
        where = slice(T - len(row), T) if left else slice(0, len(row))
        hidden[n, where], counts[n, where] = row, True
    return rows, hidden, counts


@given(lengths=LENGTHS, left=st.booleans())
@pytest.mark.parametrize(
    ("pool", "definition"),
    [
        ("last", lambda row: row[-1]),
        ("mean", lambda row: row.mean(0)),
        ("max", lambda row: row.max(0).values),
    ],
)
def test_a_pool_sees_the_tokens_that_count_alone(pool, definition, lengths, left):
    rows, hidden, counts = padded(lengths, left)
    found = pooled(Encoded(hidden, counts), pool)
    torch.testing.assert_close(found, torch.stack([definition(row) for row in rows]))


def test_what_is_not_pooled_over_tokens_is_taken_as_it_is():
    hidden, counts = torch.randn(2, 3, 4), torch.tensor([[False, True, True]] * 2)
    encoded = Encoded(hidden, counts, torch.randn(2, 5))
    assert pooled(encoded, None) is hidden
    assert pooled(encoded, "projection") is encoded.projection
    assert torch.equal(pooled(encoded, "cls"), hidden[:, 0])


def test_a_mean_does_not_overflow_half_precision():
    hidden = torch.full((1, 64, 1), 6e4, dtype=torch.float16)
    found = pooled(Encoded(hidden, torch.ones(1, 64, dtype=torch.bool)), "mean")
    torch.testing.assert_close(found, torch.full((1, 1), 6e4, dtype=torch.float16))
