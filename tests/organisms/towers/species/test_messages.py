import torch

from tests.fixtures.small_worlds import examples_of
from tests.organisms.cases import Case, rewrite

HEARING = Case("towers", shape="one layer", variant="messages")
H = torch.randn(4, 7, 9, generator=torch.Generator().manual_seed(2))


def streams(organism):
    """What the towers of the first layer say, by slot, [B, S, D]."""
    living = organism.pool.living(0)
    return dict(zip(living, organism.residents(0, H).said.dense(), strict=True))


def placed(**addresses):
    """Three towers on a circle, at angles in degrees."""
    organism = HEARING.organism()
    for slot, angle in zip((0, 2, 3), addresses.values(), strict=True):
        turned = torch.deg2rad(torch.tensor(angle))
        rewrite(organism, slot, address=[torch.cos(turned), torch.sin(turned), 0, 0, 0])
    return organism


def test_a_tower_hears_its_nearest_neighbour_and_no_other():
    organism = placed(first=0.0, second=20.0, third=90.0)
    before = streams(organism)
    rewrite(organism, 3, write=3 * organism.pool.genome(3).arrays["write"])  # nobody's nearest
    after = streams(organism)
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[2], before[2])
    rewrite(organism, 0, write=3 * organism.pool.genome(0).arrays["write"])  # the nearest of the second
    moved = streams(organism)
    assert not torch.allclose(moved[2], after[2], atol=1e-3)
    assert torch.equal(moved[3], after[3])


def test_one_that_does_not_listen_is_as_without_messages():
    organism, deaf = HEARING.organism(), HEARING.organism()
    for slot in (0, 2, 3):
        rewrite(deaf, slot, listen=[0.0])
    inputs, _ = examples_of(organism.task)
    alone = HEARING.organism()
    alone.messages = 0
    torch.testing.assert_close(deaf(inputs), alone(inputs))
    assert not torch.allclose(organism(inputs), alone(inputs), atol=1e-3)


def test_addresses_and_how_well_towers_listen_are_learnt():
    organism = Case("towers", shape="one layer", variant="more messages").organism()
    stacks = [organism.pool.stacks[name].requires_grad_() for name in ("address", "listen")]
    slopes = torch.autograd.grad(organism.training_losses(*examples_of(organism.task)).mean(), stacks)
    assert all(slope[[0, 2, 3]].abs().sum(1).min() > 0 for slope in slopes)


def test_an_address_is_a_direction():
    organism, longer = HEARING.organism(), HEARING.organism()
    for slot in (0, 2, 3):
        rewrite(longer, slot, address=7 * longer.pool.genome(slot).arrays["address"])
    torch.testing.assert_close(longer.mixed(0, H), organism.mixed(0, H))


def test_without_messages_a_tower_has_no_address():
    assert "address" not in Case("towers").organism().pool.stacks
