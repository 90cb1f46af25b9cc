import pytest
import torch

from organisms.nn import example_losses
from tests.small_worlds import (
    KINDS,
    NAMES,
    examples_of,
    interface_of,
    populate,
    small_organism,
    small_species,
    small_task,
)

GUESTS = {1: (0, 2, 3), 2: (0, 2, 3, 4, 6)}
AT_HOME = {1: [(0, 1), (2,), ()], 2: [(0, 4), (2, 3, 5), (6,)]}  # living slots of three hosts


def settled(kind, depth, **options):
    """A guest, the organisms that become hosts, and the examples."""
    sizes = {"depth": depth, "capacity": 5 if depth == 1 else 4} | options
    family = small_species(small_task(*kind), "experts", **sizes)
    guest = small_organism(family, GUESTS[depth])
    hosts = []
    for seed, slots in enumerate(AT_HOME[depth], start=10):
        organism = family.organism(interface_of(family))
        populate(family, organism, slots, seed)
        hosts.append(organism)
    return family, guest, hosts, *examples_of(family.task)


def free_slot(organism, layer):
    living = {slot for slot, _ in organism.pool.alive()}
    return next(s for s in range(organism.pool.size) if organism.pool.layer(s) == layer and s not in living)


def literal_drop(family, host, genome, occupant, inputs, targets):
    """Run the whole host before and after the graft: drop of each example's loss."""
    before = example_losses(family.task, host(inputs), targets).double()
    slot = free_slot(host, genome.depth)
    host.pool.graft(slot, genome, occupant)
    after = example_losses(family.task, host(inputs), targets).double()
    host.pool.retire(slot)
    return before - after


@pytest.mark.parametrize("options", [{}, {"experts_per_token": 1}, {"experts_per_token": 4}], ids=str)
@pytest.mark.parametrize("depth", GUESTS)
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_an_assay_is_what_grafting_and_running_the_whole_host_gives(kind, depth, options):
    """The graft competes for tokens; where fewer than k live, it joins them."""
    family, guest, hosts, inputs, targets = settled(kind, depth, **options)
    frozen = [family.host(host, inputs, targets) for host in hosts]
    found = family.assay(guest, frozen)
    assert found.dtype == torch.float64
    assert found.shape == (len(GUESTS[depth]), len(inputs))
    for row, (slot, occupant) in zip(found, guest.pool.alive(), strict=True):
        genome = guest.pool.genome(slot)
        drops = [literal_drop(family, host, genome, occupant, inputs, targets) for host in hosts]
        torch.testing.assert_close(row, torch.stack(drops).mean(0), rtol=1e-4, atol=1e-4)
        assert row.abs().max() > 1e-2  # grafts matter here, so that a wrong answer would be seen


def test_no_host_or_guest_is_changed_and_the_same_assay_comes_again():
    family, guest, hosts, inputs, targets = settled(KINDS[0], 2)
    organisms = [guest, *hosts]
    before = [{n: t.clone() for n, t in organism.pool.tensors().items()} for organism in organisms]
    frozen = [family.host(host, inputs, targets) for host in hosts]
    assert torch.equal(family.assay(guest, frozen), family.assay(guest, frozen))
    for organism, tensors in zip(organisms, before, strict=True):
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in organism.pool.tensors().items())


def test_an_assay_does_not_depend_on_the_other_components_of_the_guest():
    family, guest, hosts, inputs, targets = settled(KINDS[0], 2)
    frozen = [family.host(host, inputs, targets) for host in hosts]
    together = family.assay(guest, frozen)
    for index, slot in enumerate(GUESTS[2]):
        alone = family.organism(guest.interface)
        alone.pool.graft(slot, guest.pool.genome(slot), guest.pool.occupants[slot])
        torch.testing.assert_close(
            family.assay(alone, frozen), together[index : index + 1], rtol=1e-4, atol=2e-5
        )


def test_an_assay_is_the_mean_over_hosts():
    family, guest, hosts, inputs, targets = settled(KINDS[0], 1)
    frozen = [family.host(host, inputs, targets) for host in hosts]
    singles = torch.stack([family.assay(guest, [host]) for host in frozen])
    torch.testing.assert_close(family.assay(guest, frozen), singles.mean(0))


def test_a_guest_without_experts_in_a_layer_has_no_rows_for_it():
    family, guest, hosts, inputs, targets = settled(KINDS[0], 2)
    frozen = [family.host(host, inputs, targets) for host in hosts]
    whole = family.assay(guest, frozen)
    for slot in (0, 2, 3):
        guest.pool.retire(slot)
    torch.testing.assert_close(family.assay(guest, frozen), whole[3:])
    for slot in (4, 6):
        guest.pool.retire(slot)
    assert family.assay(guest, frozen).shape == (0, len(inputs))


def test_what_no_token_of_a_host_chooses_is_worth_nothing():
    family, guest, hosts, inputs, targets = settled(KINDS[0], 1, experts_per_token=1)
    for host in hosts:
        host.interface["position"][:, 0] = 30.0  # one direction that all tokens have
    guest.pool.stacks["route"][2] = torch.tensor([-50.0, *[0.0] * 8])
    found = family.assay(guest, [family.host(host, inputs, targets) for host in hosts[:2]])
    assert (found[1] == 0).all()
    assert found[0].abs().max() > 1e-3
