import pytest
import torch

from organisms.flow.matrix import positions
from organisms.flow.matrix.positions import choose_positions
from tests.organisms.layers.definitions import drawn

B, C, R, K = 2, 3, 4, 6


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 5, 100, 400])
@pytest.mark.parametrize("length", [63, 65, 300])
def test_the_best_of_the_whole_matrix_are_chosen_a_tile_at_a_time(length, window, causal):
    the_best_are_chosen(length, window, causal)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 5, 400])
@pytest.mark.parametrize("length", [6, 9, 65])
def test_so_they_are_all_at_once_where_that_is_recorded(length, window, causal, monkeypatch):
    monkeypatch.setattr(positions, "exporting", lambda: True)
    the_best_are_chosen(length, window, causal)


def the_best_are_chosen(length, window, causal):
    q, k, decay = drawn(B, C, length, R), drawn(B, C, length, R, seed=1), drawn(B, C, length, seed=2).abs()
    reach = 9 * drawn(B, length, seed=3).abs()
    found = choose_positions(q, k, decay, reach, top_k=K, window=window, causal=causal)
    places = torch.arange(length)
    ahead = places[:, None] - places
    distance = ahead.abs().double()
    scores = q @ k.mT - decay[..., None] * (1 + distance).log()
    scores = scores - (distance - reach[:, None, :, None]).clamp_min(0)
    hidden = (distance >= (window or length)) | ((ahead < 0) & causal)
    best = scores.masked_fill(hidden, -torch.inf).topk(K)
    seen = best.values > -torch.inf
    assert torch.equal(found.seen, seen)
    itself = places[:, None].expand_as(seen)
    assert torch.equal(found.senders, torch.where(seen, best.indices, itself))
