"""What has a name among towers: identity, the router that it belongs to, and the two moments of its life."""

import hashlib
import uuid
import weakref
from typing import Any, ClassVar


class BaseComponent:
    """An attachable unit with a name, a uuid, a parent and a lifecycle; it needs no torch.

    A parent is referred to weakly and is not copied along: a copy of a component belongs to nobody, and a router that
    is copied adopts the copies of its children.

    Parameters
    ----------
    name
        What people call it, not empty.
    seed
        The uuid is drawn from the stream of `seed`, class and `name`; None: from the operating system.

    Raises
    ------
    ValueError
        If the name is empty or no text.

    Attributes
    ----------
    bookkeeping
        Names of attributes that no forward pass reads, such as an inbox: towers that differ in them are still of one
        structure. While towers are computed together, reading one is an error, and they are computed one by one.
    """

    bookkeeping: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, *, seed: int | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"name of a {type(self).__name__} must be a text that is not empty, but is {name!r}"
            )
        self.name = name
        self.uuid = drawn_uuid(
            f"{type(self).__name__}:{name}", seed
        )  # a tower and its address may share a name
        self._parent: weakref.ref[Any] | None = None

    @property
    def parent(self) -> Any:
        """The router that it was attached to first and not detached from since; None without one."""
        return None if self._parent is None else self._parent()

    def adopted_by(self, router: object) -> None:
        """Make a router the parent, unless there is one already: what several routers share belongs to the first."""
        if self.parent is None:
            self._parent = weakref.ref(router)

    def released_by(self, router: object) -> None:
        """Forget the parent if it is this router."""
        if self.parent is router:
            self._parent = None

    def on_attach(self, parent: Any) -> None:
        """Called after a router has attached it; for subclasses."""

    def on_detach(self) -> None:
        """Called after a router has detached it; for subclasses."""

    def reset(self) -> None:
        """Forget what belongs to one batch; for subclasses. A router's `reset` calls it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parent": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


def drawn_uuid(name: str, seed: int | None) -> str:
    """Return a uuid of version 4: the same for the same name and seed, and another each time without a seed."""
    if seed is None:
        return str(uuid.uuid4())
    digest = hashlib.sha256(f"{seed}:uuid:{name}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
