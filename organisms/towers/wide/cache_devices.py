"""What becomes of the caches of towers when these move to another device."""

from typing import Any

import torch

from organisms.towers.component import Device
from organisms.towers.router import BaseRouter

POLICIES = ("clear", "migrate", "reconstruct")


class CacheDeviceController:
    """Applies one policy to all caches below a router.

    Parameters
    ----------
    policy
        "clear": they are emptied; "migrate": they move along, and keep their graph; "reconstruct": they are emptied,
        and `pending` names what the next forward pass has to fill again.

    Raises
    ------
    ValueError
        If there is no such policy.
    """

    def __init__(self, policy: str = "clear") -> None:
        if policy not in POLICIES:
            raise ValueError(
                f"cache_preservation_policy must be one of {', '.join(POLICIES)}, but is {policy!r}"
            )
        self.policy = policy
        self._wanted: dict[str, list[str]] = {}

    def move(self, router: BaseRouter, device: Device | None, dtype: torch.dtype | None) -> None:
        """Treat the caches of a router that moves.

        Parameters
        ----------
        router
            The router.
        device, dtype
            Where to, and to what; None: as it is.
        """
        if self.policy == "migrate":
            router.cache_to_recursive(device, dtype)
            return
        if self.policy == "reconstruct":
            self._wanted = {path: each.cache_keys() for path, each in router.routers() if each.cache_keys()}
        router.cache_clear_recursive()

    def pending(self, router: BaseRouter) -> dict[str, list[str]]:
        """Return what has been emptied and not been filled again, keys by the paths of routers."""
        routers = dict(router.routers())
        left = {
            path: [key for key in keys if path not in routers or key not in routers[path].cache_keys()]
            for path, keys in self._wanted.items()
        }
        return {path: keys for path, keys in left.items() if keys}

    def mismatches(self, router: BaseRouter) -> list[str]:
        """Return a sentence for each cached tensor that is on another device than the parameters of its router."""
        return [
            f"{path or router.name}: {key} is on {tensor.device}, its router on {home}"
            for path, each in router.routers()
            if (home := _home(each)) is not None
            for key, tensor in each._cache.items()
            if tensor.device != home
        ]


def _home(router: BaseRouter) -> Any:
    return next((each.device for each in router.parameters()), None)
