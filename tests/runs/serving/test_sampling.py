import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from runs.serving.sampling import Choice, draw, next_symbols

finite = st.floats(-30, 30, width=32)
choices = st.builds(
    Choice,
    st.sampled_from([0.0, 0.1, 0.7, 1.0, 2.0]),
    st.integers(0, 9),
    st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    st.floats(0, 1),
)


def probabilities(logits, choice):
    """What can be drawn and how likely, symbol by symbol, likeliest first."""
    order = sorted(range(len(logits)), key=lambda symbol: -logits[symbol])
    if choice.temperature == 0:
        return {order[0]: 1.0}
    order = order[: choice.top_k or len(order)]
    weights = [math.exp((logits[symbol] - logits[order[0]]) / choice.temperature) for symbol in order]
    shares = [weight / math.fsum(weights) for weight in weights]
    kept = [0] + [at for at in range(1, len(order)) if math.fsum(shares[:at]) < choice.top_p]
    total = math.fsum(shares[at] for at in kept)
    return {order[at]: shares[at] / total for at in kept}


@given(st.lists(finite, min_size=1, max_size=8, unique=True), choices)
def test_a_symbol_lies_where_the_draw_is_in_the_sum_of_the_probabilities(logits, choice):
    wanted = probabilities(logits, choice)
    (symbol,) = next_symbols(torch.tensor([logits]), [choice])
    sums = np.cumsum(list(wanted.values()))
    cuts = np.cumsum(list(probabilities(logits, replace(choice, top_p=1.0)).values()))
    # Where a place is within roundings of a border, either side will do.
    near = np.abs(sums - choice.draw).min() < 1e-9 or np.abs(cuts - choice.top_p).min() < 1e-9
    if not near:
        assert symbol == list(wanted)[int(np.searchsorted(sums, choice.draw, side="right"))]


@given(st.lists(st.tuples(st.lists(finite, min_size=5, max_size=5), choices), min_size=1, max_size=6))
def test_who_else_is_in_the_batch_changes_nothing(rows):
    logits = torch.tensor([row for row, _ in rows])
    together = next_symbols(logits, [choice for _, choice in rows])
    alone = [next_symbols(logits[at : at + 1], [choice])[0] for at, (_, choice) in enumerate(rows)]
    assert together == alone


@pytest.mark.parametrize("top_k", [5, 2**64, 10**400])
def test_more_than_all_symbols_are_all(top_k):
    logits, choice = torch.tensor([[0.3, -1.0, 1.2, 0.0]]), Choice(1.0, 0, 1.0, 0.99)
    assert next_symbols(logits, [replace(choice, top_k=top_k)]) == next_symbols(logits, [choice])


def test_draws_of_a_seed_have_the_frequencies_of_the_softmax():
    logits, count = [0.3, -1.0, 1.2, 0.0], 4000
    choice = Choice(0.8, 3, 1.0, 0.0)
    rows = torch.tensor([logits]).expand(count, -1)
    found = next_symbols(rows, [replace(choice, draw=draw(7, step)) for step in range(count)])
    wanted = probabilities(logits, choice)
    counted = [found.count(symbol) for symbol in wanted]
    assert sum(counted) == count
    test = scipy.stats.chisquare(counted, [count * share for share in wanted.values()])
    assert test.pvalue > 0.001


def test_equal_logits_are_taken_in_their_order_and_the_largest_draw_has_a_symbol():
    logits = torch.zeros(1, 4)
    places = [0.0, 0.25, 0.5, 0.999, 1.0]
    assert [next_symbols(logits, [Choice(1.0, 0, 1.0, place)])[0] for place in places] == [0, 1, 2, 3, 3]
    assert next_symbols(logits, [Choice(0.0, 0, 1.0, 1.0)]) == [0]
    assert next_symbols(torch.tensor([[0.0, 3e38, -3e38]]), [Choice(0.1, 0, 1.0, 1.0)]) == [1]


def test_steps_and_seeds_have_draws_of_their_own():
    assert len({draw(seed, step) for seed in range(10) for step in range(10)}) == 100


def test_choices_for_other_rows_are_refused():
    with pytest.raises(ValueError, match="choices must be as many as rows of logits, 2, but are 1"):
        next_symbols(torch.zeros(2, 3), [Choice(1.0, 0, 1.0, 0.5)])
