"""Which of the components of a router may be registered as towers, and what is said where none is."""

from collections.abc import Sequence

from kernels.suggestion import did_you_mean
from organisms.towers.router import BaseRouter
from organisms.towers.tower import BaseTower


def attached_towers(router: BaseRouter) -> list[str]:
    """Return the names of the towers that are attached to a router."""
    return [name for name, each in router.components.items() if isinstance(each, BaseTower)]


def check_tower(router: BaseRouter, name: str) -> None:
    """Refuse the name of what is no tower of a router, or none any more.

    Raises
    ------
    ValueError
        If nothing of the name is attached, or it is no tower.
    """
    if name not in router.components:
        raise ValueError(
            f"router {router.name!r} has no tower {name!r}: attach it first"
            f"{did_you_mean(name, router.components)}"
        )
    if not isinstance(router.components[name], BaseTower):
        kind = type(router.components[name]).__name__
        raise ValueError(f"{name!r} of router {router.name!r} is no BaseTower, but a {kind}")


def check_registered(router: BaseRouter, name: str, registered: Sequence[str]) -> None:
    """Refuse a name that is not registered.

    Parameters
    ----------
    router
        The router.
    name
        The name.
    registered
        What is registered.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if name not in registered:
        raise ValueError(
            f"router {router.name!r} has not registered a tower {name!r}, but {', '.join(registered) or 'none'}"
            f"{did_you_mean(name, registered)}"
        )


def check_all(router: BaseRouter, registered: Sequence[str]) -> None:
    """Refuse a router that has no tower to ask, or not all of them any more.

    Raises
    ------
    ValueError
        If none is registered, or one is not there.
    """
    if not registered:
        attached = ", ".join(attached_towers(router))
        remedy = f", but {attached} attached: call discover_towers()" if attached else ": attach some"
        raise ValueError(f"router {router.name!r} has no registered tower{remedy}")
    for name in registered:
        check_tower(router, name)
