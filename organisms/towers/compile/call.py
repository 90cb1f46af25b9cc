"""Calls of a module: which arguments are tensors, and all else that decides what its forward pass does."""

import inspect
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from organisms.towers.wide.groups.signature import frozen


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A call without its tensors.

    Parameters
    ----------
    spec
        The nesting of arguments and keyword arguments.
    leaves
        What the arguments hold; None in the place of tensors.
    tensors
        The places of the tensors among them.
    """

    spec: TreeSpec
    leaves: tuple[Any, ...]
    tensors: tuple[int, ...]

    @property
    def key(self) -> Hashable:
        """What two calls of one form have in common."""
        kinds = tuple(map(type, self.leaves))  # 2 equals 2.0, and gives another dtype
        return str(self.spec), self.tensors, kinds, frozen(self.leaves)

    def filled(self, tensors: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return arguments and keyword arguments with tensors, a sequence of them or what stands for one."""
        leaves = list(self.leaves)
        for number, place in enumerate(self.tensors):
            leaves[place] = tensors[number]
        return tree_unflatten(leaves, self.spec)


def taken_apart(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Form, tuple[Tensor, ...]]:
    """Return the form of a call, and its tensors."""
    leaves, spec = tree_flatten((tuple(args), dict(kwargs)))
    places = tuple(place for place, each in enumerate(leaves) if isinstance(each, Tensor))
    rest = tuple(None if isinstance(each, Tensor) else each for each in leaves)
    return Form(spec, rest, places), tuple(leaves[place] for place in places)


def default_form(module: nn.Module) -> Form:
    """Return the form of a call with a tensor for each argument that has no default."""
    parameters = inspect.signature(module.forward).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each for each in parameters if each.kind in positional and each.default is each.empty]
    leaves, spec = tree_flatten((tuple(0 for _ in needed), {}))
    return Form(spec, tuple(None for _ in leaves), tuple(range(len(leaves))))


class Call(nn.Module):
    """A module that is called in one form, as a function of the tensors alone.

    Parameters
    ----------
    module
        The module.
    form
        How it is called.
    """

    def __init__(self, module: nn.Module, form: Form) -> None:
        super().__init__()
        self.module, self.form = module, form

    def forward(self, tensors: Any) -> Any:
        """Return what the module gives for tensors, a sequence of them or what stands for one."""
        args, kwargs = self.form.filled(tensors)
        return self.module(*args, **kwargs)
