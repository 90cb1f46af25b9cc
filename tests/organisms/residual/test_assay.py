"""What every family's assay has to be."""

import pytest
import torch

from organisms.families import FAMILIES
from tests.fixtures.small_worlds import examples_of, populate
from tests.organisms.cases import CASES, Case, losses, tensors_of


def settled(case):
    """A guest, the organisms that become hosts, of which one is empty, and the examples."""
    species, guest = case.species(), case.organism()
    size, hosts = guest.pool.size, []
    for seed, slots in enumerate((range(0, size, 2), (size - 1,), ()), start=10):
        hosts.append(species.organism(guest.interface))
        populate(species, hosts[-1], slots, seed)
    return species, guest, hosts, *examples_of(species.task)


def frozen(species, hosts, inputs, targets):
    return [species.host(host, inputs, targets) for host in hosts]


def drop(host, genome, occupant, inputs, targets):
    """Run the whole host before and after the graft: drop of each example's loss."""
    free = next(
        slot
        for slot, other in enumerate(host.pool.occupants)
        if other is None and host.pool.layer(slot) == genome.depth
    )
    before = losses(host, inputs, targets)
    host.pool.graft(free, genome, occupant)
    after = losses(host, inputs, targets)
    host.pool.retire(free)
    return before - after


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_assay_is_what_grafting_and_running_the_whole_host_gives(case):
    species, guest, hosts, *data = settled(case)
    found = species.assay(guest, frozen(species, hosts, *data))
    assert found.dtype == torch.float64
    assert found.shape == (len(case.slots), len(data[0]))
    for row, (slot, occupant) in zip(found, guest.pool.alive(), strict=True):
        drops = [drop(host, guest.pool.genome(slot), occupant, *data) for host in hosts]
        torch.testing.assert_close(row, torch.stack(drops).mean(0), rtol=1e-4, atol=5e-5)
        assert row.abs().max() > 1e-2  # grafts matter here, so that a wrong answer would be seen


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_no_host_or_guest_is_changed_and_the_same_bits_come_again(self, family):
        species, guest, hosts, *data = settled(Case(family))
        organisms = [guest, *hosts]
        before = [tensors_of(organism) for organism in organisms]
        ready = frozen(species, hosts, *data)
        assert torch.equal(species.assay(guest, ready), species.assay(guest, ready))
        for organism, tensors in zip(organisms, before, strict=True):
            for name, tensor in organism.pool.tensors().items():
                assert torch.equal(tensor, tensors[name])
                assert not tensor.requires_grad

    def test_it_is_the_mean_over_hosts(self, family):
        species, guest, hosts, *data = settled(Case(family))
        ready = frozen(species, hosts, *data)
        singles = torch.stack([species.assay(guest, [host]) for host in ready])
        torch.testing.assert_close(species.assay(guest, ready), singles.mean(0))

    def test_a_row_is_of_its_component_alone_and_a_layer_without_any_has_none(self, family):
        case = Case(family)
        species, guest, hosts, *data = settled(case)
        ready = frozen(species, hosts, *data)
        whole = species.assay(guest, ready)
        for slots in (*((slot,) for slot in case.slots), (0, 2, 3), (4, 6), ()):
            rows = whole[[case.slots.index(slot) for slot in slots]]
            found = species.assay(case.organism(slots), ready)
            torch.testing.assert_close(found, rows, rtol=1e-4, atol=2e-5)
