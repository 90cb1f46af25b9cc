import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.towers import GatedFusion
from organisms.towers.species.fusion import joining, weights

FUSIONS = ("adaptive", "gated", "sum")


def scores(towers, seed=0):
    return 3 * torch.randn(2, 4, towers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.sampled_from(FUSIONS), st.integers(0, 4), st.integers(0, 99))
def test_a_guest_counts_as_much_as_among_all_and_leaves_the_others_in_proportion(fusion, residents, seed):
    all_of_them = scores(residents + 1, seed)
    together = weights(fusion, all_of_them)
    own = joining(fusion, all_of_them[..., -1:], all_of_them[..., :-1])
    torch.testing.assert_close(own, together[..., -1:])
    left = 1 - own if fusion == "adaptive" else 1.0
    torch.testing.assert_close(weights(fusion, all_of_them[..., :-1]) * left, together[..., :-1])


def test_competing_towers_share_each_token_out_and_a_gate_multiplies_odds():
    given_, gates = scores(3), torch.tensor([1.0, 0.25, 0.5], dtype=torch.float64)
    plain, gated = weights("adaptive", given_), weights("adaptive", given_, gates)
    torch.testing.assert_close(gated.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(gated[..., 1] / gated[..., 0], plain[..., 1] / plain[..., 0] / 4)


@pytest.mark.parametrize("fusion", ["gated", "sum"])
def test_elsewhere_a_gate_multiplies_its_own_tower_alone(fusion):
    given_, gates = scores(3), torch.tensor([1.0, 0.25, 0.5], dtype=torch.float64)
    assert torch.equal(weights(fusion, given_, gates), weights(fusion, given_) * gates)


def test_gates_are_those_of_the_library():
    fusion = GatedFusion("gates", 3, 5).double()
    with torch.no_grad():
        fusion.bias.zero_()
    opinions = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    read = torch.einsum("nsd,nd->sn", opinions, fusion.gate)
    torch.testing.assert_close(weights("gated", read.unsqueeze(0))[0].T, fusion.weights(opinions))
