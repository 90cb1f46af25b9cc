import torch

from tests.fixtures.small_worlds import examples_of
from tests.organisms.cases import Case


def test_what_no_token_of_a_host_chooses_is_worth_nothing():
    case = Case("experts", shape="one layer", variant="one each")
    species, guest, host = case.species(), case.organism(), case.organism((0, 1), seed=9)
    host.interface["position"][:, 0] = 30.0  # one direction that all tokens have
    guest.pool.stacks["route"][2] = torch.tensor([-50.0, *[0.0] * 8])
    found = species.assay(guest, [species.host(host, *examples_of(species.task))]).drops
    assert (found[1] == 0).all()
    assert found[0].abs().max() > 1e-3
