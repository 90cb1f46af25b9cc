"""Messages between towers, and a bounded box of them."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a tower said.

    Parameters
    ----------
    sender
        Name of the address that it comes from.
    channel
        Channel that it was posted on.
    content
        Any tensor, in the graph of what computed it.
    fingerprint
        Where the sender was, [F].
    """

    sender: str
    channel: str
    content: Tensor
    fingerprint: Tensor


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class Mailbox:
    """The newest messages of each sender on each channel, in the order in which senders first wrote.

    What a tower said before is replaced by what it says now: so a box that nobody reads holds the graphs of the last
    few steps only, and never grows with their number. A copy of a box is empty: mail belongs to one forward pass, and
    tensors inside a graph cannot be copied.

    Boxes of one capacity are equal, whatever they hold, so that towers are of one structure whatever they were told.
    The copy of a tower that computes several of them together has a sealed box: it would read one tower's mail for all.

    Parameters
    ----------
    capacity
        How many messages of one sender on one channel are kept.
    sealed
        Whether putting and reading are refused, with a RuntimeError.

    Raises
    ------
    ValueError
        If the capacity is no whole number from 1 on.
    """

    def __init__(self, capacity: int, *, sealed: bool = False) -> None:
        if not is_count(capacity):
            raise ValueError(f"capacity must be a whole number of messages from 1 on, but is {capacity!r}")
        self.capacity, self.sealed = capacity, sealed
        self._kept: dict[tuple[str, str], deque[Message]] = {}

    def put(self, message: Message) -> None:
        """Keep a message; the oldest one of its sender and channel goes where there is no room."""
        self._check_open()
        key = (message.channel, message.sender)
        self._kept.setdefault(key, deque(maxlen=self.capacity)).append(message)

    def messages(self, channel: str | None = None) -> tuple[Message, ...]:
        """Return the messages of a channel, or of all."""
        self._check_open()
        return tuple(each for kept in self._kept.values() for each in kept if channel in (None, each.channel))

    def clear(self, channel: str | None = None) -> None:
        """Drop the messages of a channel, or of all."""
        self._kept = {key: kept for key, kept in self._kept.items() if channel not in (None, key[0])}

    def forget(self, sender: str, channel: str) -> None:
        """Drop the messages of one sender on a channel."""
        self._kept.pop((channel, sender), None)

    def __len__(self) -> int:
        self._check_open()
        return sum(map(len, self._kept.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mailbox) and self.capacity == other.capacity

    def __hash__(self) -> int:
        return hash(self.capacity)

    def _check_open(self) -> None:
        if self.sealed:
            raise RuntimeError(
                "messages are posted and read by towers one by one, not by a copy without numbers that stands for "
                "several"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return Mailbox, (self.capacity,)
