"""Routers: modules that own components, objects and a cache, and know each by its name.

storage     holds                       moved by to()   in state_dict   for
components  modules                     yes             yes             what learns
objects     anything but tensors        no              no              configuration, metadata
the cache   tensors, until cleared      no              no              what others read after forward()
"""

import warnings
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, fx, nn

from kernels.suggestion import did_you_mean
from organisms.towers import storage
from organisms.towers.component import Device, TorchComponent, nearest
from organisms.towers.identity import BaseComponent


class BaseRouter(BaseComponent, nn.Module):
    """A module whose children have names, a lifecycle and a parent.

    Parameters
    ----------
    name
        What people call it.
    strict
        Whether `to` warns of caches that it leaves behind and of components that may not be where they go.
    seed
        Where its uuid comes from, as `BaseComponent` takes it.
    """

    def __init__(self, name: str, *, strict: bool = True, seed: int | None = None) -> None:
        nn.Module.__init__(self)
        BaseComponent.__init__(self, name, seed=seed)
        self.strict = strict
        self.components = nn.ModuleDict()
        self.objects = storage.Objects()
        self._cache: storage.Cache = {}

    def attach(self, name: str, value: Any) -> None:
        """Keep a value under a name: a module in `components`, anything else but a tensor in `objects`.

        A component learns of it: its parent is this router, unless it has one, and its `on_attach` is called. If that
        raises, nothing is kept.

        Raises
        ------
        ValueError
            If the name is no text, taken or impossible, or the module holds this router.
        TypeError
            If the value is a tensor or holds one.
        """
        _check_name(name, self)
        if isinstance(value, nn.Module):
            check_module(value, self)
            self.components[name] = value
        else:
            self.objects[name] = value
        try:
            self._welcome(value)
        except BaseException:
            self._remove(name)
            self._release(value)
            raise

    def detach(self, name: str) -> Any:
        """Remove what was attached under a name, and return it; a component's `on_detach` is called.

        Raises
        ------
        KeyError
            If there is no such name.
        """
        value = self[name]
        self._remove(name)
        self._part_from(value)
        return value

    def _remove(self, name: str) -> None:
        del (self.components if name in self.components else self.objects)[name]

    def children_owned(self) -> Iterator[Any]:
        """Yield all that has been attached, components first."""
        yield from self.components.values()
        yield from self.objects.values()

    def __getitem__(self, name: Any) -> Any:
        for held in (self.components, self.objects):
            if name in held:
                return held[name]
        known = (*self.components, *self.objects)
        raise KeyError(
            f"router {self.name!r} holds no {name!r}, but {', '.join(known) or 'nothing'}{did_you_mean(name, known)}"
        )

    def __contains__(self, name: Any) -> bool:
        return name in self.components or name in self.objects

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.components.values())

    def __len__(self) -> int:
        return len(self.components)

    def __bool__(self) -> bool:
        return True  # also without children

    def cache_set(self, key: str, value: Tensor) -> None:
        """Keep a tensor for those who ask after forward() has returned, in place of the last one.

        Raises
        ------
        TypeError
            If it is no tensor.
        """
        if not isinstance(value, Tensor | fx.Proxy):  # or what stands for one while operations are listed
            raise TypeError(
                f"the cache of {self.name!r} holds tensors, but {key!r} is a {type(value).__name__}: keep it in objects"
            )
        self._cache[key] = value

    def cache_get(self, key: str, default: Any = None) -> Any:
        """Return the cached tensor, or the default where there is none."""
        return self._cache.get(key, default)

    def cache_clear(self) -> None:
        """Forget the cached tensors of this router alone."""
        self._cache.clear()

    def cache_clear_recursive(self) -> None:
        """Forget the cached tensors of this router and of all below it."""
        for _, router in self.routers():
            router.cache_clear()

    def cache_keys(self) -> list[str]:
        """Return the keys of the cached tensors."""
        return list(self._cache)

    def cache_size_bytes(self) -> int:
        """Return the bytes of the cached tensors of this router alone."""
        return storage.size_bytes(self._cache)

    def cache_to(self, device: Device | None = None, dtype: torch.dtype | None = None) -> None:
        """Move the cached tensors of this router; a dtype applies to those of floating point."""
        for key, each in self._cache.items():
            self._cache[key] = each.to(device, dtype if each.is_floating_point() else None)

    def cache_to_recursive(self, device: Device | None = None, dtype: torch.dtype | None = None) -> None:
        """Move the cached tensors of this router and of all below it, as `cache_to` does."""
        for _, router in self.routers():
            router.cache_to(device, dtype)

    def cache_debug(self, prefix: str = "") -> dict[str, dict[str, dict[str, Any]]]:
        """Return what is cached, by the path of its router, which begins with `prefix` or the name of this one."""
        return {
            ".".join(part for part in (prefix or self.name, path) if part): storage.described(router._cache)
            for path, router in self.routers()
            if router._cache
        }

    def reset(self) -> None:
        """Forget what belongs to one batch: the cache, and that of every router and component below, by its `reset`."""
        self.cache_clear()
        for child in (*nearest(self), *self.objects.values()):
            if isinstance(child, BaseComponent):
                child.reset()

    def routers(self) -> Iterator[tuple[str, "BaseRouter"]]:
        """Yield this router and all below it, each once, with its path as in `state_dict`."""
        return ((path, each) for path, each in self.named_modules() if isinstance(each, BaseRouter))

    def network_to(
        self, device: Device | None = None, dtype: torch.dtype | None = None, clear_cache: bool = True
    ) -> Self:
        """Move everything below to a device and dtype, and make the device the home of every component.

        Parameters
        ----------
        device
            The new device; None: as they are.
        dtype
            The new dtype of what is of floating point; None: as it is.
        clear_cache
            Whether all caches are cleared. They are never moved: `cache_to_recursive` does that.
        """
        if clear_cache:
            self.cache_clear_recursive()
        if device is not None:
            for each in self.modules():
                if isinstance(each, TorchComponent):
                    each.settle(device)
        return nn.Module.to(self, device=device, dtype=dtype)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers as ``nn.Module.to`` does; caches stay, of which a strict router warns."""
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        if self.strict and device is not None:
            for sentence in self._left_behind(device):
                warnings.warn(f"{sentence}; network_to takes care of both", stacklevel=2)
        return nn.Module.to(self, *args, **kwargs)

    def _left_behind(self, device: torch.device) -> Iterator[str]:
        cached = [
            each.name for _, each in self.routers() if any(t.device != device for t in each._cache.values())
        ]
        if cached:
            yield f"to({str(device)!r}) moves no cache, and {', '.join(cached)} have tensors in theirs"
        parts = [each for each in self.modules() if isinstance(each, TorchComponent)]
        strangers = [each.name for each in parts if not each.allows(device)]
        if strangers:
            yield f"to({str(device)!r}) moves {', '.join(strangers)} to a device that they do not allow"

    def _welcome(self, value: Any) -> None:
        if isinstance(value, BaseComponent):
            value.adopted_by(self)
            value.on_attach(self)

    def _part_from(self, value: Any) -> None:
        if self._release(value):
            value.on_detach()

    def _release(self, value: Any) -> bool:
        """Forget that a component belongs here, unless it still does by another name; return whether it was told so."""
        gone = isinstance(value, BaseComponent) and all(each is not value for each in self.children_owned())
        if gone:
            value.released_by(self)
        return gone

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_cache": {}}  # tensors of a graph cannot be copied, and need not

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__setstate__(self, state)
        for child in (*nearest(self), *self.objects.values()):
            if isinstance(child, BaseComponent):
                child.adopted_by(self)

    def extra_repr(self) -> str:
        """Return the name, as ``print`` shows it."""
        return f"name={self.name!r}"

    __repr__ = nn.Module.__repr__


def check_module(module: nn.Module, router: BaseRouter) -> None:
    """Refuse a module that holds the router which it would become a part of.

    Raises
    ------
    ValueError
        If it does.
    """
    if any(each is router for each in module.modules()):
        raise ValueError(f"router {router.name!r} must not be attached to itself or to what it holds")


def _check_name(name: str, router: BaseRouter) -> None:
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"name in router {router.name!r} must be a text without dots, but is {name!r}")
    if name in router:
        raise ValueError(
            f"router {router.name!r} holds a {name!r} already: detach it first, or choose another name"
        )
    if hasattr(router.components, name):
        raise ValueError(
            f"name in router {router.name!r} must not be {name!r}, which ModuleDict has a use for: choose another"
        )
