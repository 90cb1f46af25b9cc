import torch

from organisms.nn import example_losses
from organisms.pseudopods.species.organism import PseudopodOrganism
from tests.fixtures.small_worlds import examples_of
from tests.organisms.cases import Case


def test_what_writes_nothing_is_worth_nothing():
    case = Case("pseudopods")
    species, guest, host = case.species(), case.organism(), case.organism((0, 5), seed=9)
    guest.pool.stacks["ov.V"][[2, 6]] = 0
    found = species.assay(guest, [species.host(host, *examples_of(species.task))]).drops
    assert found[[1, 4]].abs().max() < 1e-6
    assert found[[0, 3]].abs().max() > 1e-3


def test_a_host_computes_its_living_heads_alone_and_loses_what_the_whole_organism_does(monkeypatch):
    case = Case("pseudopods")
    species, whole = case.species(), case.organism((0, 5), seed=9)
    inputs, targets = examples_of(species.task)
    computed = []
    attended = PseudopodOrganism.attended

    def noted(self, layer, h_BSD, statistics=False, places=None):
        computed.append(whole.pool.capacity if places is None else len(places))
        return attended(self, layer, h_BSD, statistics, places)

    monkeypatch.setattr(PseudopodOrganism, "attended", noted)
    host = species.host(whole, inputs, targets)
    assert (computed, whole.compact) == ([1, 1], False)
    assert host.organism.pool is whole.pool
    torch.testing.assert_close(host.losses, example_losses(species.task, whole(inputs), targets))
