"""Addresses: where a tower is, who is near it, and what it was told."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kernels import arguments
from organisms.towers.component import TorchComponent
from organisms.towers.geometry.aggregation import aggregated
from organisms.towers.geometry.mailbox import Mailbox, Message, is_count
from organisms.towers.geometry.manifolds import GEOMETRIES, Geometry
from organisms.towers.geometry.stream import named_generator


class AddressComponent(TorchComponent):
    """A point of Euclidean space, learnt as other parameters are, with an inbox.

    Parameters
    ----------
    name
        Name of the component; on a channel it is the name of the sender.
    fingerprint_dim
        F, the numbers of a fingerprint.
    fingerprint
        Where it is at first, [F]; None: drawn from `seed` and `name`, normal coordinates of variance 1 / F.
    trainable
        Whether its coordinates have gradients.
    capacity
        Messages of one sender on one channel that the inbox keeps, the newest ones.
    seed
        With the name, what uuid and first fingerprint are drawn from; None: a uuid of its own, and the fingerprint of
        seed 0.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is no such dimension, fingerprint or capacity.
    """

    geometry: ClassVar[Geometry] = GEOMETRIES["euclidean"]

    def __init__(
        self,
        name: str,
        fingerprint_dim: int = 64,
        *,
        fingerprint: Tensor | Sequence[float] | None = None,
        trainable: bool = True,
        capacity: int = 1,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, seed=seed, **device)
        if not is_count(fingerprint_dim):
            raise ValueError(
                f"fingerprint_dim of address {name!r} must be a whole number from 1 on, but is {fingerprint_dim!r}"
            )
        drawn = torch.randn(fingerprint_dim, generator=named_generator(seed, f"address:{name}"))
        self.coordinates = nn.Parameter(drawn / math.sqrt(fingerprint_dim), requires_grad=trainable)
        self._inbox = Mailbox(capacity)
        if fingerprint is not None:
            self.place(fingerprint)

    @property
    def fingerprint(self) -> Float[Tensor, " F"]:
        """The point where it is, in the graph of its coordinates."""
        return self.geometry.point(self.coordinates)

    @torch.no_grad()
    def place(self, fingerprint: Tensor | Sequence[float]) -> None:
        """Move it to a point, [F].

        Raises
        ------
        ValueError
            If the point is no numbers, has another dimension, or is none of its geometry.
        """
        try:
            point = torch.as_tensor(fingerprint).to(self.coordinates)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"fingerprint of address {self.name!r} must be numbers, but is {fingerprint!r}"
            ) from error
        if point.shape != self.coordinates.shape:
            raise ValueError(
                f"fingerprint of address {self.name!r} must have {len(self.coordinates)} numbers, but its shape is "
                f"{list(point.shape)}"
            )
        if not bool(self.geometry.inside(point)):
            raise ValueError(
                f"fingerprint of the {self.geometry.name} address {self.name!r} must be {self.geometry.rule}, but its "
                f"length is {torch.linalg.vector_norm(point).item():.6g} and it begins {point[:4].tolist()}"
            )
        self.coordinates.copy_(self.geometry.coordinates(point))

    def distance(self, other: "AddressComponent") -> Float[Tensor, ""]:
        """Return the distance of two addresses.

        Raises
        ------
        ValueError
            If they are not of one geometry and dimension.
        """
        check_same_space(self, other)
        return self.geometry.distance(self.fingerprint, other.fingerprint)

    def similarity(self, other: "AddressComponent") -> Float[Tensor, ""]:
        """Return 1 for equal addresses, less for others: exp(-distance), on the sphere the cosine of the angle.

        Raises
        ------
        ValueError
            If they are not of one geometry and dimension.
        """
        check_same_space(self, other)
        return self.geometry.similarity(self.fingerprint, other.fingerprint)

    def forward(self) -> Float[Tensor, " F"]:
        """Return the fingerprint."""
        return self.fingerprint

    @property
    def inbox(self) -> tuple[Message, ...]:
        """What it was told and has not cleared, by sender."""
        return self._inbox.messages()

    @property
    def has_mail(self) -> bool:
        """Whether there is a message in the inbox."""
        return len(self._inbox) > 0

    def receive(self, message: Message) -> None:
        """Put a message into the inbox, in place of the oldest of its sender and channel where there is no room.

        Raises
        ------
        ValueError
            If it is no `Message`.
        """
        arguments.instance(f"what address {self.name!r} receives", message, Message)
        self._inbox.put(message)

    def aggregate_inbox(self, how: str = "mean", channel: str | None = None) -> Tensor | None:
        """Return one content of the messages of a channel, or of all; None if there are none.

        Parameters
        ----------
        how
            "mean", "sum", "max" of each number, or "attention", by similarity of the senders' addresses with this one.
        channel
            Name of a channel; None: all.

        Raises
        ------
        ValueError
            If there is no such aggregation, or the contents differ in shape, dtype or device.
        """
        messages = self._inbox.messages(channel)
        return aggregated(messages, how, lambda them: self.geometry.similarity(self.fingerprint, them))

    def clear(self, channel: str | None = None) -> None:
        """Empty the inbox, or what of it came on a channel."""
        self._inbox.clear(channel)

    def reset(self) -> None:
        """Empty the inbox, as a router's `reset` does with all of its components."""
        self.clear()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.coordinates.is_meta:
            self._inbox = Mailbox(self._inbox.capacity, sealed=True)


class SphericalAddressComponent(AddressComponent):
    """A point of the unit sphere: the direction of its coordinates. Parameters as of `AddressComponent`."""

    geometry: ClassVar[Geometry] = GEOMETRIES["spherical"]


class HyperbolicAddressComponent(AddressComponent):
    """A point of the Poincare ball, at the distance |coordinates| from its centre. Parameters as of `AddressComponent`.

    Trees fit into it with little distortion: near the rim there is room for many neighbours that are far from one
    another.
    """

    geometry: ClassVar[Geometry] = GEOMETRIES["hyperbolic"]


def check_same_space(one: AddressComponent, other: AddressComponent) -> None:
    """Refuse two addresses between which there is no distance.

    Raises
    ------
    ValueError
        If they are not of one geometry and dimension, or one is no address.
    """
    for each in (one, other):
        arguments.instance("what a distance is measured to", each, AddressComponent)
    spaces = [(each.geometry.name, len(each.coordinates)) for each in (one, other)]
    if spaces[0] != spaces[1]:
        raise ValueError(
            f"addresses must be of one geometry and dimension, but {one.name!r} is {spaces[0][0]} of {spaces[0][1]} "
            f"numbers and {other.name!r} {spaces[1][0]} of {spaces[1][1]}"
        )
