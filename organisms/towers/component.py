"""Components that learn: modules with an identity and with a say in where their parameters may be."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeAlias

import torch
from torch import nn

from organisms.towers.identity import BaseComponent as BaseComponent

Device: TypeAlias = str | torch.device


class TorchComponent(BaseComponent, nn.Module):
    """A module with name, uuid, parent, lifecycle and device affinity.

    Parameters
    ----------
    name
        What people call it.
    home_device
        Where `to_home` brings it; None: it is at home anywhere.
    allowed_devices
        Where `to` may bring it, of which the home is one; "cuda" stands for every GPU; None: anywhere.
    strict
        Whether a move to another device is refused; False: it is made with a warning.
    seed
        Where its uuid comes from, as `BaseComponent` takes it.

    Raises
    ------
    ValueError
        If there is no such device, or the home is not allowed.
    """

    def __init__(
        self,
        name: str,
        *,
        home_device: Device | None = None,
        allowed_devices: Iterable[Device] | None = None,
        strict: bool = True,
        seed: int | None = None,
    ) -> None:
        nn.Module.__init__(self)
        BaseComponent.__init__(self, name, seed=seed)
        self.strict = strict
        self.home_device = None if home_device is None else _device("home_device", name, home_device)
        self.allowed_devices = None if allowed_devices is None else _devices(name, allowed_devices)
        if self.home_device is not None and not self.allows(self.home_device):
            raise ValueError(
                f"home_device of {name!r} must be one of its allowed_devices, {self._allowed()}, but is "
                f"{self.home_device}"
            )

    def allows(self, device: Device) -> bool:
        """Whether its parameters may be on a device."""
        if self.allowed_devices is None:
            return True
        device = torch.device(device)
        return not {device, torch.device(device.type), numbered(device)}.isdisjoint(self.allowed_devices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers as ``nn.Module.to`` does, to an allowed device.

        Raises
        ------
        ValueError
            If the device is not allowed and the component is strict. Nothing has moved then.
        """
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        if device is not None and not self.allows(device):
            sentence = f"component {self.name!r} may be on {self._allowed()}, not on {device}"
            if self.strict:
                raise ValueError(f"{sentence}: name the device in allowed_devices, or move it by network_to")
            warnings.warn(sentence, stacklevel=2)
        return nn.Module.to(self, *args, **kwargs)

    def cpu(self) -> Self:
        """Move it to the CPU, by `to`."""
        return self.to("cpu")

    def cuda(self, device: int | Device | None = None) -> Self:
        """Move it to a GPU, by `to`."""
        return self.to(torch.device("cuda" if device is None else device))

    def to_home(self) -> Self:
        """Move it to its home; without one it stays."""
        return self if self.home_device is None else self.to(self.home_device)

    @property
    def is_home(self) -> bool:
        """Whether all parameters and buffers are on the home device; True without one."""
        home = self.home_device
        tensors = (*self.parameters(), *self.buffers())
        return home is None or all(each.device == numbered(home) for each in tensors)

    def settle(self, device: Device) -> None:
        """Make a device the home and an allowed one, without moving."""
        self.home_device = torch.device(device)
        if not self.allows(device) and self.allowed_devices is not None:
            self.allowed_devices = self.allowed_devices | {self.home_device}

    def reset(self) -> None:
        """Forget what belongs to one batch: here nothing but what components and routers below it forget."""
        for child in nearest(self):
            child.reset()

    def extra_repr(self) -> str:
        """Return the name and the home, as ``print`` shows them."""
        return f"name={self.name!r}" + ("" if self.home_device is None else f", home={self.home_device}")

    def _allowed(self) -> str:
        return ", ".join(sorted(str(each) for each in self.allowed_devices or ()))

    __repr__ = nn.Module.__repr__


def _device(option: str, name: str, value: Any) -> torch.device:
    try:
        return torch.device(value)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{option} of {name!r} must be a device such as 'cuda:0', but is {value!r}"
        ) from error


def _devices(name: str, values: Any) -> frozenset[torch.device]:
    if isinstance(values, str | torch.device) or not isinstance(values, Iterable):
        raise ValueError(f"allowed_devices of {name!r} must be a set of devices, but is {values!r}")
    return frozenset(_device("each of allowed_devices", name, each) for each in values)


def nearest(module: nn.Module) -> Iterator[Any]:
    """Yield the components and routers below a module that no other one stands between."""
    for child in module.children():
        if isinstance(child, BaseComponent):
            yield child
        else:
            yield from nearest(child)


def numbered(device: Device) -> torch.device:
    """Return a device with its number: of a GPU without one, that of the current GPU."""
    device = torch.device(device)
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device() if torch.cuda.is_available() else 0)
