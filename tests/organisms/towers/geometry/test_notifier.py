import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from organisms.towers.geometry.address import AddressComponent, SphericalAddressComponent
from organisms.towers.geometry.notifier import NotifierRouter
from organisms.towers.router import BaseRouter

PLACES = {"a": 0.0, "b": 1.0, "c": 3.0, "d": 6.0}


def village(**options):
    """A notifier and four addresses on a line."""
    notifier = NotifierRouter("notifier", **options)
    addresses = {name: AddressComponent(name, 1, fingerprint=[at]) for name, at in PLACES.items()}
    for each in addresses.values():
        notifier.register(each)
    return notifier, addresses


def everyone_posts(notifier, addresses):
    for number, each in enumerate(addresses.values()):
        notifier.post(each, torch.tensor([10.0**number]))


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({}, {"a": "bcd", "b": "acd", "c": "bad", "d": "cba"}),
        ({"k": 1}, {"a": "b", "b": "a", "c": "b", "d": "c"}),
        ({"radius": 2.0}, {"a": "b", "b": "ac", "c": "b", "d": ""}),
        ({"k": 1, "radius": 2.0}, {"a": "b", "b": "a", "c": "b", "d": ""}),
        ({"k": 9, "radius": 0.0}, {"a": "", "b": "", "c": "", "d": ""}),
    ],
)
def test_each_hears_the_nearest_k_or_all_within_the_radius_whether_set_or_asked_for(options, heard):
    expected = {name: tuple(senders) for name, senders in heard.items()}
    for set_up, asked in ((options, {}), ({"k": 3, "radius": 7.0} if options else {}, options)):
        notifier, addresses = village(**set_up)
        everyone_posts(notifier, addresses)
        assert notifier.route(**asked) == {"default": expected}
        for name, senders in expected.items():
            assert tuple(each.sender for each in addresses[name].inbox) == senders
            total = sum(10.0 ** "abcd".index(each) for each in senders)
            assert addresses[name].has_mail == bool(senders)
            if senders:
                assert addresses[name].aggregate_inbox("sum").tolist() == [total]


def test_of_equally_near_senders_the_one_that_registered_first_is_heard():
    notifier = NotifierRouter("notifier", k=1)
    middle, right, left = (
        AddressComponent(n, 1, fingerprint=[x]) for n, x in (("m", 0.0), ("r", 1.0), ("l", -1.0))
    )
    for each in (middle, right, left):
        notifier.register(each)
    for each in (left, right):  # the order of posts decides nothing
        notifier.post(each, torch.ones(1))
    assert notifier.route()["default"]["m"] == ("r",)


def test_only_those_who_posted_are_heard_and_a_message_is_carried_once():
    notifier, addresses = village(k=1)
    notifier.post(addresses["d"], torch.ones(1))
    assert notifier() == {"default": {"a": ("d",), "b": ("d",), "c": ("d",), "d": ()}}
    assert notifier.route() == {"default": dict.fromkeys("abcd", ())}


def test_channels_are_apart():
    notifier, addresses = village()
    others = [AddressComponent(name, 1, fingerprint=[0.0]) for name in ("x", "y")]
    for each in others:
        notifier.register(each, "other")
    everyone_posts(notifier, addresses)
    notifier.post(others[0], torch.ones(5), channel="other")
    assert notifier.route("other") == {"other": {"x": (), "y": ("x",)}}
    assert not any(each.has_mail for each in addresses.values())
    assert notifier.route().keys() == {"default", "other"}
    assert [each.name for each in notifier.channels["other"]] == ["x", "y"]


def test_a_newer_message_of_a_sender_replaces_the_older_one_unless_there_is_room():
    for capacity, expected in ((1, [2.0]), (2, [1.0, 2.0])):
        notifier = NotifierRouter("notifier", capacity=capacity)
        sender, reader = (AddressComponent(name, 1, capacity=capacity) for name in ("sender", "reader"))
        for each in (sender, reader):
            notifier.register(each)
        for number in range(3):
            notifier.post(sender, torch.tensor(float(number)))
        notifier.route()
        assert [float(each.content) for each in reader.inbox] == expected


@pytest.mark.parametrize("detach", [False, True])
def test_gradients_flow_through_messages_unless_they_are_detached(detach):
    notifier, addresses = village(detach=detach)
    opinion = torch.ones(1, requires_grad=True)
    notifier.post(addresses["a"], opinion * 3)
    notifier.route()
    read = addresses["b"].aggregate_inbox("attention") * addresses["b"].coordinates
    read.sum().backward()
    assert opinion.grad is None if detach else float(opinion.grad) == 3


def test_a_loop_that_never_reads_its_mail_holds_the_last_graph_only():
    notifier, addresses = village()
    made = []
    for _ in range(5):
        opinion = torch.ones(1, requires_grad=True) * 2
        made.append(weakref.ref(opinion))
        for each in addresses.values():
            notifier.post(each, opinion)
        notifier.route()
    del opinion
    gc.collect()
    assert [each() is not None for each in made] == [False] * 4 + [True]
    notifier.reset()
    gc.collect()
    assert made[-1]() is None


def test_addresses_stay_with_their_towers():
    """A collective owns each address once, by its tower, and its copy routes among the copies."""
    collective, notifier = BaseRouter("collective"), NotifierRouter("notifier", k=1)
    collective.attach("notifier", notifier)
    for name in ("a", "b"):
        tower, address = BaseRouter(name), SphericalAddressComponent(name, fingerprint_dim=4)
        tower.attach("address", address)
        tower.attach("norm", nn.LayerNorm(3))
        notifier.register(address, channel="experts")
        collective.attach(name, tower)
    named = [name for name, _ in collective.named_parameters() if "coordinates" in name]
    assert named == [
        "components.a.components.address.coordinates",
        "components.b.components.address.coordinates",
    ]
    copied = copy.deepcopy(collective)
    copied["notifier"].post(copied["a"]["address"], torch.ones(3), channel="experts")
    copied["notifier"].route()
    assert copied["b"]["address"].has_mail
    assert not collective["b"]["address"].has_mail
    copied.reset()
    assert not copied["b"]["address"].has_mail


def test_who_is_taken_from_a_channel_is_neither_heard_nor_told():
    notifier, addresses = village()
    everyone_posts(notifier, addresses)
    notifier.unregister(addresses["a"])
    notifier.register(addresses["a"])
    assert "a" not in notifier.route()["default"]["b"]
    for each in addresses.values():
        notifier.unregister(each)
    assert notifier.channels == {}


def test_what_was_posted_can_be_cleared():
    notifier, addresses = village()
    everyone_posts(notifier, addresses)
    notifier.clear()
    notifier.route()
    assert not any(each.has_mail for each in addresses.values())


def test_who_is_not_registered_cannot_post():
    notifier, addresses = village()
    with pytest.raises(
        ValueError, match=r"'x' is not on channel 'default' of notifier 'notifier', but a, b, c, d"
    ):
        notifier.post(AddressComponent("x", 1), torch.ones(1))
    with pytest.raises(ValueError, match=r"address 'a' is not on channel 'default'"):
        notifier.post(AddressComponent("a", 1), torch.ones(1))  # another one of the same name
    with pytest.raises(ValueError, match=r"no channel 'defualt', but default; did you mean 'default'\?"):
        notifier.post(addresses["a"], torch.ones(1), channel="defualt")
    with pytest.raises(ValueError, match=r"has no channel 'x', but default"):
        notifier.route("x")
    with pytest.raises(ValueError, match=r"content must be a dense torch.Tensor, but is a list"):
        notifier.post(addresses["a"], [1.0])


def test_a_channel_has_one_geometry_and_each_name_once():
    notifier, addresses = village()
    with pytest.raises(ValueError, match=r"'a' is euclidean of 1 numbers and 'x' spherical of 1"):
        notifier.register(SphericalAddressComponent("x", 1))
    with pytest.raises(ValueError, match=r"channel 'default' has an address named 'a' already"):
        notifier.register(addresses["a"])
    with pytest.raises(
        ValueError, match=r"what is registered must be of type AddressComponent, but is of type Linear"
    ):
        notifier.register(nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"k must be a whole number of neighbours"):
        NotifierRouter("notifier", k=0)
    with pytest.raises(ValueError, match=r"radius must be a distance"):
        notifier.route(radius=-1.0)


def test_an_address_that_is_not_finite_is_named_and_nothing_is_carried():
    notifier, addresses = village()
    everyone_posts(notifier, addresses)
    with torch.no_grad():
        addresses["c"].coordinates.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"must be finite, but on channel 'default' c are not"):
        notifier.route()
    assert not any(each.has_mail for each in addresses.values())
    addresses["c"].place([3.0])
    notifier.route()
    assert all(each.has_mail for each in addresses.values())
