from tests.fixtures.small_worlds import examples_of
from tests.organisms.cases import Case


def test_what_writes_nothing_is_worth_nothing():
    case = Case("pseudopods")
    species, guest, host = case.species(), case.organism(), case.organism((0, 5), seed=9)
    guest.pool.stacks["ov.V"][[2, 6]] = 0
    found = species.assay(guest, [species.host(host, *examples_of(species.task))]).drops
    assert found[[1, 4]].abs().max() < 1e-6
    assert found[[0, 3]].abs().max() > 1e-3
