"""Functions and methods of N towers: as they are, with the towers' axis in front, or vectorised by vmap."""

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx
from torch.nn import functional as F

from organisms.towers.wide.groups.streams import Streams
from organisms.towers.wide.groups.vectorised import dims_of, vmapped
from organisms.towers.wide.operations import primitives
from organisms.towers.wide.operations.operation import Operation, Translation, dropped, filler

SHAPES = frozenset({"shape", "ndim"})
SHAPE_METHODS = frozenset({"size", "dim"})
DROPOUT = ("input", "p", "training", "inplace")  # the arguments of F.dropout


def function(node: fx.Node, known: Translation) -> Operation:
    """Return the operation of N towers for a function or method, and note whether its value carries them."""
    if _is_shape(node):
        return _shape(node, known)
    if node.target is F.dropout:
        return _dropout(node, known)
    if not any(known.carries(each) for each in node.all_input_nodes):
        return Operation(_as_it_is(node), "shared")
    known.batched.add(node.name)
    if _is_elementwise(node):
        return Operation(_elementwise(node, known), "fused")
    if node.target is operator.getitem:
        return Operation(_item(node, known), "vmap")
    return Operation(_vmapped(node, known), "vmap")


def applied(node: fx.Node) -> Callable[[Any, Any], Any]:
    """Return the function or method of a node as a function of arguments and keyword arguments."""
    target: Any = node.target
    if node.op == "call_method":
        return lambda args, kwargs: getattr(args[0], target)(*args[1:], **kwargs)
    return lambda args, kwargs: target(*args, **kwargs)


def _as_it_is(node: fx.Node) -> Callable[..., Any]:
    apply, fill = applied(node), filler(node)

    def run(_values: Any, _streams: Any, *inputs: Any) -> Any:
        return apply(*fill(inputs))

    return run


def _vmapped(node: fx.Node, known: Translation) -> Callable[..., Any]:
    flags = [known.carries(each) for each in node.all_input_nodes]
    apply, fill = applied(node), filler(node)

    def run(_values: Any, _streams: Any, *inputs: Any) -> Any:
        dims = tuple(dims_of(each, flag) for each, flag in zip(inputs, flags, strict=True))
        return vmapped(lambda *own_inputs: apply(*fill(own_inputs)), dims, *inputs)

    return run


def _elementwise(node: fx.Node, known: Translation) -> Callable[..., Any]:
    """Return a run that needs no vmap if the towers' axis meets the towers' axis, and no other one."""
    flags = [known.carries(each) for each in node.all_input_nodes]
    otherwise = _vmapped(node, known)
    apply, fill = applied(node), filler(node)

    lead = flags.index(True)

    def run(values: Any, streams: Any, *inputs: Any) -> Any:
        return apply(*fill(inputs)) if _aligned(inputs, flags, lead) else otherwise(values, streams, *inputs)

    return run


def _aligned(inputs: tuple[Any, ...], flags: list[bool], lead: int) -> bool:
    """Whether all are tensors, those with the towers in front of the rank of number `lead`, others of a lower one."""
    first = inputs[lead]
    if not isinstance(first, Tensor):
        return False
    rank = first.ndim - 1
    for each, flag in zip(inputs, flags, strict=True):
        if not isinstance(each, Tensor) or (each.ndim != rank + 1 if flag else each.ndim > rank):
            return False
    return True


def _item(node: fx.Node, known: Translation) -> Callable[..., Any]:
    whole, each = _as_it_is(node), _vmapped(node, known)

    def run(values: Any, streams: Any, *inputs: Any) -> Any:
        return (each if isinstance(inputs[0], Tensor) else whole)(values, streams, *inputs)

    return run


def _shape(node: fx.Node, known: Translation) -> Operation:
    offset = int(known.carries(node.args[0]))

    def run(_values: Any, _streams: Any, x: Any) -> Any:
        if node.target == "dim" or node.args[1:] == ("ndim",):
            return x.ndim - offset
        shape = x.shape[offset:]
        axes = (*node.args[1:], *node.kwargs.values()) if node.target == "size" else ()
        return shape[axes[0]] if axes else shape

    return Operation(run, "shape")


def _dropout(node: fx.Node, known: Translation) -> Operation:
    fill = filler(node)

    def run(_values: Any, streams: Streams | None, *inputs: Any) -> Any:
        args, kwargs = fill(inputs)
        given = dict(zip(DROPOUT, args, strict=False)) | dict(kwargs)
        return dropped(given["input"], given.get("p", 0.5), streams, carries)

    carries = known.carries((*node.args, *node.kwargs.values())[0])
    given = dict(zip(DROPOUT, node.args, strict=False)) | dict(node.kwargs)
    if not given.get("training", True) or given.get("p", 0.5) == 0:
        if carries:
            known.batched.add(node.name)
        return Operation(lambda _values, _streams, x: x, "fused")
    known.batched.add(node.name)
    return Operation(run, "fused")


def _is_shape(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in SHAPE_METHODS
    return node.target is getattr and node.args[1] in SHAPES


def _is_elementwise(node: fx.Node) -> bool:
    known = primitives.ELEMENTWISE_METHODS if node.op == "call_method" else primitives.ELEMENTWISE_FUNCTIONS
    return node.target in known
