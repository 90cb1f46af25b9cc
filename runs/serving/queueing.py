"""Who is next: clients take turns, and the requests of one come in their order."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """Waiting requests of several clients; who was served goes to the end of the line of clients."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()
        self._length = 0  # counted, so that other threads may ask while it changes

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            yield from line

    def put(self, client: str, item: Item) -> None:
        """Let a request wait behind those of the same client."""
        self._lines.setdefault(client, deque()).append(item)
        self._length += 1

    def take(self) -> Item:
        """Return the first request of the client whose turn it is.

        Raises
        ------
        LookupError
            If nobody waits.
        """
        if not self._lines:
            raise LookupError("nobody waits")
        client, line = self._lines.popitem(last=False)
        item = line.popleft()
        self._length -= 1
        if line:
            self._lines[client] = line
        return item

    def remove(self, item: Item) -> None:
        """Take out a request that waits, whoever it is from; one that does not wait is no error."""
        for client, line in list(self._lines.items()):
            kept = deque(each for each in line if each is not item)
            self._length -= len(line) - len(kept)
            if kept:
                self._lines[client] = kept
            else:
                del self._lines[client]
