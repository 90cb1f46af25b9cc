"""The two storages of a router that are no modules: objects, which refuse tensors, and tensors between two calls."""

from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

Cache: TypeAlias = dict[str, Tensor]


class Objects(UserDict[str, Any]):
    """Configuration and metadata of a router, neither moved nor saved with it.

    Raises
    ------
    ValueError
        For a name that is no text.
    TypeError
        For a tensor or a module, alone or in a list, tuple or mapping: kept here it would be neither moved nor saved,
        and the graph that made it would never be freed.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ValueError(f"name in objects must be a text, but is {name!r}")
        for each in leaves(value):
            if isinstance(each, nn.Parameter | nn.Module):
                raise TypeError(
                    f"objects[{name!r}] must hold no {type(each).__name__}: what is learnt, moved and saved belongs "
                    "into components, by attach(name, module)"
                )
            if isinstance(each, Tensor):
                raise TypeError(
                    f"objects[{name!r}] must hold no tensor, which would never be freed: cache_set(name, tensor) keeps "
                    "one until cache_clear(), register_buffer one that is moved and saved"
                )
        super().__setitem__(name, value)


def leaves(value: Any) -> Iterator[Any]:
    """Yield a value, or what its lists, tuples, sets and mappings hold."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def size_bytes(cache: Cache) -> int:
    """Return the bytes that cached tensors need, each for itself even where two share memory."""
    return sum(each.numel() * each.element_size() for each in cache.values())


def described(cache: Cache) -> dict[str, dict[str, Any]]:
    """Return shape, dtype, device and bytes of each cached tensor."""
    return {
        key: {
            "shape": tuple(each.shape),
            "dtype": each.dtype,
            "device": each.device,
            "bytes": size_bytes({key: each}),
        }
        for key, each in cache.items()
    }
