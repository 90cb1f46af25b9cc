"""The parameters of towers in one piece of memory: a stack for each name, of which a tower's own tensor is a view.

The towers' parameters stay the leaves: optimizers, state_dict, hooks and requires_grad see them as before, and a step
changes the stack because it is the same memory. A gradient of the stack is handed out as its slices.

    parameter of tower i      the memory of stack[i], a leaf
    stacks [N, ...]           _Stacked.apply(number, *memories, *parameters), whose gradients go to the parameters
"""

from collections.abc import Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from organisms.towers.wide.groups.vectorised import UnbatchableError


class MovedApartError(UnbatchableError):
    """Towers that were of one structure are so no more; grouped anew, they are computed apart."""


class _Stacked(torch.autograd.Function):
    """Memories of N tensors each as functions of these, and the slices of their gradients: one node for all of a group.

    Changing one of them in place between forward and backward raises autograd's error, as it does without a stack.
    """

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return `count` memories [N, ...], which come before their N parameters each."""
        ctx.count, ctx.number = count, len(tensors) // count - 1
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors[count:])
        return tuple(memory.view_as(memory) for memory in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the slices of the gradients for those parameters that want one."""
        _ = ctx.saved_tensors  # raises if one of them has been changed
        none = (None,) * ctx.number
        slices = [each for grad in grads for each in (none if grad is None else grad.unbind(0))]
        wanted = ctx.needs_input_grad[1 + ctx.count :]
        own = (each if wants else None for each, wants in zip(slices, wanted, strict=True))
        return (None,) * (1 + ctx.count) + tuple(own)


class Leaf:
    """One parameter or buffer of each of N towers.

    Parameters
    ----------
    name
        Its first name in the towers.
    towers
        N towers of one signature.
    """

    def __init__(self, name: str, towers: Sequence[nn.Module]) -> None:
        path, _, self.key = name.rpartition(".")
        owners = [tower.get_submodule(path) for tower in towers]
        self.learnt = self.key in owners[0]._parameters
        self._kinds: list[dict[str, Any]] = [o._parameters if self.learnt else o._buffers for o in owners]
        self.shared = len(towers) > 1 and all(each is self.tensors[0] for each in self.tensors)
        self._memory = self.tensors[0]
        self._shape = self._memory.shape
        self._layout: list[Any] = []

    def of(self, other: "Leaf") -> bool:
        """Whether another leaf stands for the same places in the same towers, by tensors of its shape."""
        return (
            (self.key, self._shape) == (other.key, other._shape)
            and len(self._kinds) == len(other._kinds)
            and all(map(is_, self._kinds, other._kinds))
        )

    @property
    def tensors(self) -> list[Tensor]:
        """The N tensors as they are now."""
        return [kind[self.key] for kind in self._kinds]

    def memory(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the memory [N, ...] of the tensors as they are now, or the one that all towers share."""
        if self.shared:
            return tensors[0]
        if _layout(tensors) != self._layout:
            self._gather(tensors)
        return self._memory

    def _gather(self, tensors: Sequence[Tensor]) -> None:
        """Move the tensors into one memory; done again when one of them has been moved, cut or turned."""
        if len({(each.shape, each.dtype, each.device) for each in tensors}) > 1:
            raise MovedApartError(f"{self.key} is not of one shape, dtype and device in all towers any more")
        if tensors[0].shape != self._shape:
            raise MovedApartError(f"{self.key} has another shape in all towers")
        # What comes first may be inference, whose tensors training could not use later.
        with torch.inference_mode(False), torch.no_grad():
            self._memory = torch.stack([each.detach() for each in tensors]).contiguous()
            for each, part in zip(tensors, self._memory, strict=True):
                each.data = part
        self._layout = _layout(tensors)


def _layout(tensors: Sequence[Tensor]) -> list[Any]:
    """Return where tensors are and how they lie there, what a slice of a stack keeps; read before every pass."""
    functions = (Tensor.data_ptr, Tensor.numel, Tensor.is_contiguous)
    return [value for function in functions for value in map(function, tensors)]


class Stack:
    """The parameters and buffers of N towers by their names, each a stack [N, ...] unless the towers share it.

    Parameters
    ----------
    towers
        N towers of one signature.
    """

    def __init__(self, towers: Sequence[nn.Module]) -> None:
        first = towers[0]
        names = [name for name, _ in (*first.named_parameters(), *first.named_buffers())]
        self._leaves = {name: Leaf(name, towers) for name in names}
        self._buffers = {name: leaf for name, leaf in self._leaves.items() if not leaf.learnt}
        self.dims = {name: None if leaf.shared else 0 for name, leaf in self._leaves.items()}
        self.first_names = _first_names(first)

    def of(self, towers: Sequence[nn.Module]) -> bool:
        """Whether it holds the parameters and buffers of these towers, all of them and no others."""
        other = Stack(towers)
        same = self.dims == other.dims and self.first_names == other.first_names
        return same and all(leaf.of(other._leaves[name]) for name, leaf in self._leaves.items())

    def values(self) -> dict[str, Tensor]:
        """Return all tensors; of buffers copies, so that a pass which fails has changed nothing."""
        values, wanting, parameters = {}, [], []
        learns = torch.is_grad_enabled()
        for name, leaf in self._leaves.items():
            tensors = leaf.tensors
            memory = leaf.memory(tensors)
            values[name] = memory if leaf.learnt else memory.clone()
            if learns and leaf.learnt and not leaf.shared and any(each.requires_grad for each in tensors):
                wanting.append(name)
                parameters += tensors
        if wanting:
            memories = (values[name] for name in wanting)
            values |= zip(wanting, _Stacked.apply(len(wanting), *memories, *parameters), strict=True)
        return values

    def keep(self, values: dict[str, Tensor]) -> None:
        """Let the towers have the buffers of a pass that has succeeded."""
        if not self._buffers:
            return
        with torch.no_grad():
            for name, leaf in self._buffers.items():
                leaf.memory(leaf.tensors).copy_(values[name])


def places(tower: nn.Module) -> list[str]:
    """Return a name for every place of a parameter or buffer: tied ones have several, those of a module used twice one.

    ``functional_call`` wants exactly these: it would not put back what it replaces twice.
    """
    found: dict[tuple[int, str], str] = {}
    for path, module in tower.named_modules(remove_duplicate=False):
        for key in (*module._parameters, *module._buffers):
            if module._parameters.get(key) is not None or module._buffers.get(key) is not None:
                found.setdefault((id(module), key), f"{path}.{key}" if path else key)
    return list(found.values())


def _first_names(tower: nn.Module) -> dict[str, str]:
    """Return for every name of a parameter or buffer its first one, which tied ones differ from."""
    first: dict[int, str] = {}
    both = (*tower.named_parameters(remove_duplicate=False), *tower.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(each), name) for name, each in both}


def partly_shared(towers: Sequence[nn.Module]) -> str | None:
    """Return the name of a parameter or buffer that stands elsewhere in the towers too, but not everywhere.

    What all towers share in the same place is used as it is; None if there is nothing else.
    """
    seen: dict[int, str] = {}
    names = [name for name, _ in (*towers[0].named_parameters(), *towers[0].named_buffers())]
    for name in names:
        leaf = Leaf(name, towers)
        for each in leaf.tensors[:1] if leaf.shared else leaf.tensors:
            if id(each) in seen:
                return seen[id(each)]
            seen[id(each)] = name
    return None
