"""What two towers have in common if one forward pass can be computed for both: everything but numbers and names."""

import enum
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from organisms.towers.identity import BaseComponent

INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
IDENTITY = frozenset({"name", "uuid", "_parent", "_cache", "strict", "home_device", "allowed_devices"})
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PLAIN = (
    int,
    float,
    complex,
    str,
    bytes,
    bool,
    type(None),
    torch.dtype,
    torch.device,
    torch.Size,
    enum.Enum,
    type,
)


@dataclass(frozen=True, slots=True, eq=False)
class Itself:
    """A value that equals nothing but itself; it is held, because another one could come to its address."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def signature(module: nn.Module) -> tuple[Hashable, ...]:
    """Return the types, settings, modes and shapes of a tower and of all that it holds, with their paths.

    What is no plain value counts as equal only to itself. Names and uuids are no part of it.
    """
    parts = [
        (path, type(each), *((key, frozen(value)) for key, value in settings(each)), *_tensors(each))
        for path, each in module.named_modules(remove_duplicate=False)
    ]
    return (*parts, _ties(module))


def settings(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield what a module keeps besides parameters, buffers, modules, hooks, identity and bookkeeping."""
    hidden = INTERNAL | IDENTITY | module.bookkeeping if isinstance(module, BaseComponent) else INTERNAL
    return ((key, value) for key, value in module.__dict__.items() if key not in hidden)


def frozen(value: Any) -> Hashable:
    """Return a value that can be compared and is not changed with the first: plain ones as they are, or `Itself`."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Mapping):
        return (type(value), *((frozen(key), frozen(each)) for key, each in value.items()))
    if isinstance(value, list | tuple):
        return (type(value), *(frozen(each) for each in value))
    if (
        isinstance(value, Hashable)
        and not isinstance(value, Tensor)
        and type(value).__eq__ is not object.__eq__
    ):
        return value  # such as frozen dataclasses and configurations
    return Itself(value)


def objection(tower: nn.Module) -> str | None:
    """Return why the forward pass of a tower cannot be computed together with others, as far as can be seen."""
    for path, module in tower.named_modules():
        if reason := own_objection(module):
            return f"{path or 'the tower'} ({type(module).__name__}) {reason}"
    return None


def own_objection(module: nn.Module) -> str | None:
    """Return what a module itself, whatever its parts are, does or has that speaks against it; None if nothing does."""
    if any(getattr(module, hooks) for hooks in HOOKS):
        return "has hooks, which want to see each tower"
    if getattr(module, "batches_towers", False):
        return "batches towers itself"
    for key, value in settings(module):
        if any(isinstance(each, Tensor) for each in _reachable(value)):
            return f"keeps a tensor in {key}, which is neither parameter nor buffer"
    for key, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if tensor.layout != torch.strided or type(tensor) not in (Tensor, nn.Parameter):
            return f"has a {key} that is no dense tensor"
    return None


def _tensors(module: nn.Module) -> Iterator[Hashable]:
    for kind in (module._parameters, module._buffers):
        for key, tensor in kind.items():
            yield key, None if tensor is None else (tensor.shape, tensor.dtype, tensor.device)


def _ties(module: nn.Module) -> tuple[int, ...]:
    """Return for each parameter, by all of its names, which one it is: towers are tied alike or not."""
    first: dict[int, int] = {}
    named = module.named_parameters(remove_duplicate=False)
    return tuple(first.setdefault(id(each), len(first)) for _, each in named)


def _reachable(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _reachable(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _reachable(each)
    else:
        yield value
