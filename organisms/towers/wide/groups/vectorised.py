"""``torch.func.vmap`` for functions that also return what is no tensor, and the templates that it runs."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from organisms.towers.identity import BaseComponent
from organisms.towers.router import BaseRouter
from organisms.towers.wide.groups.signature import PLAIN


class UnbatchableError(RuntimeError):
    """Towers cannot be computed together; the message says why."""


class FreshCache(dict[str, Any]):
    """The cache of a template, which knows no earlier pass.

    Raises
    ------
    UnbatchableError
        If what is asked for has not been cached in this pass.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """Return what has been cached in this pass."""
        if key not in self:
            raise UnbatchableError(f"its forward pass reads {key!r} from the cache of an earlier one")
        return self[key]


def template(tower: nn.Module) -> nn.Module:
    """Return a copy of a tower without numbers, its tensors being on the meta device, and without bookkeeping."""
    tensors = [*tower.parameters(), *tower.buffers()]
    kept = [
        value
        for each in tower.modules()
        if isinstance(each, BaseComponent)
        for key, value in each.__dict__.items()
        if key in each.bookkeeping and not isinstance(value, PLAIN)
    ]
    memo: dict[int, Any] = {id(each): None for each in kept} | {
        id(each): nn.Parameter(each.detach().to("meta"), each.requires_grad)
        if isinstance(each, nn.Parameter)
        else each.to("meta")
        for each in tensors
    }
    copied = copy.deepcopy(tower, memo)
    for each in copied.modules():
        if isinstance(each, BaseComponent):
            for key in each.bookkeeping & each.__dict__.keys():
                delattr(each, key)
        if isinstance(each, BaseRouter):
            each._cache = FreshCache()
    return copied


def caching(tower: nn.Module) -> dict[str, BaseRouter]:
    """Return the routers of a tower by their paths."""
    return {path: each for path, each in tower.named_modules() if isinstance(each, BaseRouter)}


def taken(tower: nn.Module) -> dict[str, dict[str, Any]]:
    """Return what the routers of a tower have cached, by their paths, and clear it."""
    found = {path: dict(router._cache) for path, router in caching(tower).items() if router._cache}
    for router in caching(tower).values():
        router.cache_clear()
    return found


def vmapped(function: Callable[..., Any], dims: tuple[Any, ...], *args: Any) -> Any:
    """Return what a function gives for all towers: tensors [N, ...], and what is no tensor as for one.

    Parameters
    ----------
    function
        Takes the arguments of one tower; draws no random numbers but those of its streams.
    dims
        For each argument 0, None where all towers get the same, or a tree of these.
    args
        The arguments of all towers.

    Raises
    ------
    RuntimeError
        If it cannot be vectorised: if it branches on data, or draws random numbers.
    """
    rest: list[Any] = []

    def tensors(*given: Any) -> list[Tensor]:
        leaves, spec = tree_flatten(function(*given))
        rest[:] = [spec, [None if isinstance(each, Tensor) else (each,) for each in leaves]]
        return [each for each in leaves if isinstance(each, Tensor)]

    with _quiet():
        found = iter(torch.func.vmap(tensors, in_dims=dims)(*args))
    spec, others = rest
    return tree_unflatten([next(found) if each is None else each[0] for each in others], spec)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let vmap compute one by one what it has no rule for, such as attention on the CPU: that costs what it did."""
    if torch.compiler.is_compiling():  # which cannot follow the next line
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        yield


def parts(batched: Any, number: int) -> list[Any]:
    """Return the trees of N towers from a tree of tensors [N, ...]."""
    if isinstance(batched, Tensor):
        return list(batched.unbind(0))
    leaves, spec = tree_flatten(batched)
    unbound = [each.unbind(0) if isinstance(each, Tensor) else (each,) * number for each in leaves]
    return [tree_unflatten([each[tower] for each in unbound], spec) for tower in range(number)]


def dims_of(value: Any, batched: bool) -> Any:
    """Return a tree of vmap's dimensions for a value: 0 for its tensors if it is batched, else None."""
    if not batched or isinstance(value, Tensor):
        return 0 if batched else None
    return tree_map(lambda each: 0 if isinstance(each, Tensor) else None, value)
