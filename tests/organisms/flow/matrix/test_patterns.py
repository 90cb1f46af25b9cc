import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.flow.matrix.patterns import mixed, mixture, pattern_metrics
from tests.organisms.layers.definitions import drawn

N, P, Z = 7, 5, 4


@given(top_k=st.integers(1, P), seed=st.integers(0, 99))
def test_the_odds_of_the_chosen_are_those_of_all(top_k, seed):
    logits, patterns = drawn(N, P, seed=seed), drawn(P, Z, seed=seed + 1)
    kept = logits >= logits.sort(-1).values[:, -top_k, None]
    weights = torch.softmax(logits.masked_fill(~kept, -torch.inf), -1)
    torch.testing.assert_close(mixed(mixture(logits, top_k), patterns), weights @ patterns)


def test_metrics_are_shares_of_all_weight_and_the_entropy_of_a_token():
    chosen = mixture(torch.tensor([[0.0, 0.0, -9.0], [0.0, -9.0, 0.0]]), 2)
    metrics = pattern_metrics(chosen, 3)
    assert metrics["pattern_utilization"].tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert metrics["pattern_entropy"] == pytest.approx(torch.tensor(2.0).log())
