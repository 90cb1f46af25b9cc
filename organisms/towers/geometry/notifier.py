"""The router of messages: towers post on channels, and each hears those that are near it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kernels import arguments
from kernels.suggestion import did_you_mean
from kernels.untraced import untraced
from organisms.towers.geometry.address import AddressComponent, check_same_space
from organisms.towers.geometry.mailbox import Mailbox, Message
from organisms.towers.geometry.neighbours import check_reach, nearest
from organisms.towers.router import BaseRouter


class NotifierRouter(BaseRouter):
    """Carries messages between addresses that are registered on a channel.

    What is posted waits until `route` carries it into the inboxes of those that hear its sender: every address hears
    the k nearest of the others that posted on its channel, or all within a radius, or all. An address belongs to its
    tower: the notifier refers to it, and holds none of its parameters.

    Parameters
    ----------
    name
        Name of the router.
    k
        How many senders an address hears, the nearest ones; of equally near ones those that registered first. None:
        all.
    radius
        How far away they may be, in the unit of the geometry; None: anywhere. With both, the k nearest of those within.
    capacity
        Messages of one sender on one channel that wait, the newest ones.
    detach
        Whether messages are cut from the graph of what computed them. Needed where a message is read in a later
        training step than it was posted, when that graph is used up.
    strict, seed
        As of `BaseRouter`.

    Raises
    ------
    ValueError
        If there is no such number, radius or capacity.
    """

    def __init__(
        self,
        name: str,
        *,
        k: int | None = None,
        radius: float | None = None,
        capacity: int = 1,
        detach: bool = False,
        strict: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(name, strict=strict, seed=seed)
        check_reach(k, radius)
        self.k, self.radius, self.cuts_graph = k, radius, detach
        self._posted = Mailbox(capacity)
        # In a mapping, because modules that are attributes would become parts of this one.
        self._channels: dict[str, dict[str, AddressComponent]] = {}

    @property
    def channels(self) -> Mapping[str, tuple[AddressComponent, ...]]:
        """The addresses of each channel, in the order of registration."""
        return {channel: tuple(members.values()) for channel, members in self._channels.items()}

    def register(self, address: AddressComponent, channel: str = "default") -> None:
        """Let an address post and hear on a channel, which begins with its first address.

        Raises
        ------
        ValueError
            If it is no address, another one of this name is on the channel, or those there are of another geometry, or
            the channel is no text.
        """
        arguments.instance("what is registered", address, AddressComponent)
        arguments.instance("a channel", channel, str)
        members = self._channels.get(channel, {})
        if address.name in members:
            raise ValueError(
                f"channel {channel!r} has an address named {address.name!r} already: register each once, under a name "
                "of its own"
            )
        for first in list(members.values())[:1]:
            check_same_space(first, address)
        self._channels[channel] = {**members, address.name: address}

    def unregister(self, address: AddressComponent, channel: str = "default") -> None:
        """Take an address from a channel, which ends with its last one; what it posted there is not delivered.

        Raises
        ------
        ValueError
            If it is not on the channel.
        """
        self._check_registered(address, channel)
        del self._channels[channel][address.name]
        self._posted.forget(address.name, channel)
        if not self._channels[channel]:
            del self._channels[channel]

    @untraced
    def post(self, address: AddressComponent, content: Tensor, channel: str = "default") -> None:
        """Let an address say something on a channel, to be heard once `route` is called.

        Parameters
        ----------
        address
            The sender.
        content
            Any tensor. Gradients flow from those who read it to what computed it, unless `detach`.
        channel
            Where it is said.

        Raises
        ------
        ValueError
            If the sender is not on the channel, or the content is no tensor.
        """
        self._check_registered(address, channel)
        arguments.tensors(content=content)
        said = (content, address.fingerprint)
        self._posted.put(
            Message(address.name, channel, *(each.detach() if self.cuts_graph else each for each in said))
        )

    @untraced
    def route(
        self, channel: str | None = None, *, k: int | None = None, radius: float | None = None
    ) -> dict[str, dict[str, tuple[str, ...]]]:
        """Carry what was posted into inboxes, and return whom each address heard, by channel, the nearest first.

        Parameters
        ----------
        channel
            The channel whose messages are carried; None: all channels.
        k, radius
            As of the router, in place of both of these if one of them is given.

        Raises
        ------
        ValueError
            If there is no such channel, number or radius, or an address is not finite. Nothing is carried then.
        """
        check_reach(k, radius)
        reach = (self.k, self.radius) if k is None and radius is None else (k, radius)
        if channel is not None:
            self._check_channel(channel)
        channels = list(self._channels) if channel is None else [channel]
        heard = {each: self._heard(each, *reach) for each in channels}
        for each, senders in heard.items():
            self._deliver(each, senders)
            self._posted.clear(each)
        return heard

    def clear(self) -> None:
        """Drop what was posted, and empty the inboxes of all that are registered."""
        self._posted.clear()
        for members in self._channels.values():
            for address in members.values():
                address.clear()

    def reset(self) -> None:
        """Clear messages and caches."""
        self.clear()
        super().reset()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        registered = (each for members in self._channels.values() for each in members.values())
        if any(each.coordinates.is_meta for each in registered):
            self._posted = Mailbox(self._posted.capacity, sealed=True)

    def forward(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Carry all messages, as `route` does."""
        return self.route()

    @torch.no_grad()
    def _heard(self, channel: str, k: int | None, radius: float | None) -> dict[str, tuple[str, ...]]:
        """Return the senders that each address of a channel hears."""
        members = self._channels[channel]
        posted = {each.sender for each in self._posted.messages(channel)}
        senders = [name for name in members if name in posted]
        if not senders:
            return dict.fromkeys(members, ())
        points = {name: address.fingerprint for name, address in members.items()}
        _check_finite(points, channel)
        everyone, speaking = (
            torch.stack(list(points.values())),
            torch.stack([points[name] for name in senders]),
        )
        geometry = next(iter(members.values())).geometry
        distances = geometry.distance(everyone.unsqueeze(1), speaking.unsqueeze(0))
        others = torch.tensor([[name != sender for sender in senders] for name in members]).to(
            distances.device
        )
        chosen = nearest(distances, others, k, radius)
        return {name: tuple(senders[at] for at in row) for name, row in zip(members, chosen, strict=True)}

    def _deliver(self, channel: str, heard: Mapping[str, tuple[str, ...]]) -> None:
        messages: dict[str, list[Message]] = {}
        for each in self._posted.messages(channel):
            messages.setdefault(each.sender, []).append(each)
        for name, senders in heard.items():
            for sender in senders:
                for message in messages[sender]:
                    self._channels[channel][name].receive(message)

    def _check_channel(self, channel: str) -> None:
        if channel not in self._channels:
            raise ValueError(
                f"notifier {self.name!r} has no channel {channel!r}, but {', '.join(self._channels) or 'none'}"
                f"{did_you_mean(channel, self._channels)}"
            )

    def _check_registered(self, address: AddressComponent, channel: str) -> None:
        arguments.instance("who is on a channel", address, AddressComponent)
        self._check_channel(channel)
        members = self._channels[channel]
        if members.get(address.name) is not address:
            raise ValueError(
                f"address {address.name!r} is not on channel {channel!r} of notifier {self.name!r}, but "
                f"{', '.join(members)}{did_you_mean(address.name, members)}: register it first"
            )


def _check_finite(points: Mapping[str, Tensor], channel: str) -> None:
    lost = [name for name, point in points.items() if not bool(point.isfinite().all())]
    if lost:
        raise ValueError(
            f"addresses that messages are routed by must be finite, but on channel {channel!r} {', '.join(lost)} are "
            "not: look at the gradients of their coordinates, or place() them anew"
        )
