import copy
import math

import pytest
import torch

from organisms.towers.geometry.address import (
    AddressComponent,
    HyperbolicAddressComponent,
    SphericalAddressComponent,
)
from organisms.towers.geometry.mailbox import Message

KINDS = (AddressComponent, SphericalAddressComponent, HyperbolicAddressComponent)
EVERY = pytest.mark.parametrize("kind", KINDS)


def told(address, *contents, channel="default", at=None):
    """Put messages into an inbox, each of a sender of its own."""
    for number, content in enumerate(contents):
        point = torch.zeros(len(address.coordinates)) if at is None else at[number]
        address.receive(Message(f"sender_{number}", channel, content, point))


@EVERY
def test_a_fingerprint_belongs_to_its_name_and_seed_and_to_no_generator(kind):
    state = torch.get_rng_state()
    first, again, other, seeded = kind("a"), kind("a"), kind("b"), kind("a", seed=1)
    assert torch.equal(first.fingerprint, again.fingerprint)
    for different in (other, seeded):
        assert first.distance(different) > 0.1
    assert torch.equal(torch.get_rng_state(), state)
    assert first.fingerprint.shape == (64,)
    assert seeded.uuid == kind("a", seed=1).uuid
    assert first.uuid != again.uuid


def test_fingerprints_lie_where_their_geometry_says():
    assert SphericalAddressComponent("a").fingerprint.norm().item() == pytest.approx(1)
    address = HyperbolicAddressComponent("a")
    assert address.fingerprint.norm().item() == pytest.approx(
        math.tanh(address.coordinates.norm().item() / 2)
    )


@EVERY
def test_an_address_can_be_placed_and_is_there(kind):
    point = torch.tensor([0.6, 0.0, -0.5])
    placed = kind("a", 3, fingerprint=point)
    expected = point / point.norm() if kind is SphericalAddressComponent else point
    torch.testing.assert_close(placed.fingerprint, expected)
    before = placed.coordinates
    placed.place([0.0, 0.3, 0.0])
    assert placed.coordinates is before  # an optimizer's parameter stays the parameter
    assert placed.similarity(placed).item() == pytest.approx(1)


@EVERY
@pytest.mark.parametrize("point", [[math.nan, 0, 0], [0, math.inf, 0]])
def test_a_place_is_finite(kind, point):
    with pytest.raises(ValueError, match=r"fingerprint of the \w+ address 'a' must be .*, but its length is"):
        kind("a", 3, fingerprint=point)


def test_a_place_is_one_of_its_geometry_and_a_refused_one_changes_nothing():
    ball, sphere = HyperbolicAddressComponent("ball", 2), SphericalAddressComponent("sphere", 2)
    before = ball.fingerprint.clone()
    for point in ([1.0, 0.0], [0.0, 3.0]):
        with pytest.raises(
            ValueError, match=r"'ball' must be a point of length below 1, inside the Poincare ball, but"
        ):
            ball.place(point)
    assert torch.equal(ball.fingerprint, before)
    with pytest.raises(ValueError, match=r"'sphere' must be finite numbers that are not all zero"):
        sphere.place([0.0, 0.0])
    with pytest.raises(ValueError, match=r"'sphere' must have 2 numbers, but its shape is \[3\]"):
        sphere.place([0.0, 0.0, 1.0])
    with pytest.raises(
        ValueError, match=r"fingerprint_dim of address 'a' must be a whole number from 1 on, but is 0"
    ):
        AddressComponent("a", 0)


def test_between_spaces_there_is_no_distance():
    one = AddressComponent("one", 4)
    for other in (SphericalAddressComponent("other", 4), AddressComponent("other", 5)):
        for read in (one.distance, one.similarity):
            with pytest.raises(ValueError, match=r"'one' is euclidean of 4 numbers and 'other' \w+ of [45]"):
                read(other)


@EVERY
def test_addresses_learn_unless_they_are_told_not_to(kind):
    one, other = kind("one", 3), kind("other", 3, trainable=False)
    one.distance(other).backward()
    assert bool(one.coordinates.grad.any())
    assert other.coordinates.grad is None


def test_an_inbox_is_read_as_asked_and_cleared():
    address, contents = AddressComponent("a", 2), torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 0.0]])
    assert not address.has_mail
    assert address.aggregate_inbox("mean") is None
    told(address, *contents)
    assert address.has_mail
    assert address.aggregate_inbox().tolist() == contents.mean(0).tolist()
    assert address.aggregate_inbox("sum").tolist() == [9, 2]
    assert address.aggregate_inbox("max").tolist() == [5, 4]
    told(address, torch.ones(2), channel="other")
    assert address.aggregate_inbox("sum", "other").tolist() == [1, 1]
    address.clear("other")
    assert len(address.inbox) == 3
    address.reset()
    assert not address.has_mail


@EVERY
def test_attention_is_a_softmax_of_similarities_that_hears_the_nearest_most(kind):
    address = kind("a", 2, fingerprint=[0.5, 0.0])
    others = [kind(str(n), 2, fingerprint=point) for n, point in enumerate([[0.5, 0.1], [-0.5, 0.2]])]
    contents = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
    told(address, *contents, at=[each.fingerprint for each in others])
    expected = torch.stack([address.similarity(each) for each in others]).softmax(0)
    torch.testing.assert_close(address.aggregate_inbox("attention"), expected)
    assert expected[0] > expected[1]
    address.aggregate_inbox("attention")[0].backward()
    for each in (address, *others):
        assert bool(each.coordinates.grad.any())


@pytest.mark.parametrize("how", ["mean", "sum", "max", "attention"])
def test_the_order_of_messages_does_not_matter_and_gradients_reach_each(how):
    contents = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    points = [torch.tensor([float(n), 0.0]) for n in range(3)]
    forward, backward = AddressComponent("a", 2), AddressComponent("a", 2)
    told(forward, *contents, at=points)
    told(backward, *contents.flip(0), at=points[::-1])
    read = forward.aggregate_inbox(how)
    torch.testing.assert_close(read, backward.aggregate_inbox(how))
    (gradient,) = torch.autograd.grad(read.sum(), contents)
    whole = {"mean": 1.0, "max": 1.0, "sum": 3.0, "attention": 1.0}[how]
    torch.testing.assert_close(gradient.sum(0), torch.full((4,), whole))


def test_what_cannot_be_aggregated_is_refused():
    address = AddressComponent("a", 2)
    told(address, torch.ones(2), torch.ones(3))
    with pytest.raises(
        ValueError, match=r"'sender_0' sent .*\[2\].* and 'sender_1' .*\[3\].*: read each by itself"
    ):
        address.aggregate_inbox()
    with pytest.raises(
        ValueError, match=r"aggregation is 'meen', but must be one of .*; did you mean 'mean'"
    ):
        address.aggregate_inbox("meen")


def test_state_holds_the_place_and_copies_have_no_mail():
    address = HyperbolicAddressComponent("a", 3)
    told(address, torch.ones(2, requires_grad=True) * 2)
    copied = copy.deepcopy(address)
    assert not copied.has_mail
    assert address.has_mail
    assert list(address.state_dict()) == ["coordinates"]
    other = HyperbolicAddressComponent("b", 3)
    other.load_state_dict(address.state_dict())
    assert torch.equal(other.fingerprint, address())
