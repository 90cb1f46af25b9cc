"""Modules of N towers: one operation of torch for all of them where there is one, else vectorised by vmap."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn
from torch.func import functional_call

from organisms.towers.wide.groups.streams import Streams, drops
from organisms.towers.wide.groups.vectorised import dims_of, vmapped
from organisms.towers.wide.operations import primitives
from organisms.towers.wide.operations.operation import Operation, Translation, dropped, filler
from organisms.towers.wide.operations.trace import module_path

ABSENT = ""  # the name of no parameter


def module(node: fx.Node, known: Translation) -> Operation:
    """Return the operation of N towers for a module of torch, and note whether its value carries them."""
    module, path = known.root.get_submodule(str(node.target)), module_path(node.target)
    first = node.args[0] if node.args else None
    carries, plain = known.carries(first), len(node.args) == 1 and not node.kwargs
    stacked = {name: known.stack.dims[first] == 0 for name, first in known.names_of(path, module).items()}
    if isinstance(module, nn.Dropout) and plain:
        rate, active = module.p, module.training and module.p > 0
        if active or carries:
            known.batched.add(node.name)
        if not active:
            return Operation(lambda _values, _streams, x: x, "fused")
        return Operation(lambda _values, streams, x: dropped(x, rate, streams, carries), "fused")
    if any(stacked.values()) or drops(module) or any(known.carries(each) for each in node.all_input_nodes):
        known.batched.add(node.name)
    if plain and isinstance(module, primitives.ELEMENTWISE_MODULES):
        alone = module.forward  # torch's own, and without hooks
        return Operation(lambda _values, _streams, x: alone(x), "fused" if carries else "shared")
    otherwise = _vmapped_module(node, known, module, path)
    if not plain or not stacked or not all(stacked.values()):
        return Operation(otherwise, "vmap")
    fused = _fused(module, carries)
    if fused is None:
        return Operation(otherwise, "vmap")
    own_names, axes = known.names_of(path, module), primitives.axes(module)
    weight, bias = own_names.get("weight", ABSENT), own_names.get("bias", ABSENT)
    exactly = isinstance(module, primitives.CONVOLUTIONS)

    def run(values: Any, streams: Any, x: Tensor) -> Any:
        found = x.ndim - carries
        if found < axes or (exactly and found > axes):  # such as a single image without a batch
            return otherwise(values, streams, x)
        return fused(x, values.get(weight), values.get(bias))

    return Operation(run, "fused")


def _fused(module: Any, carries: bool) -> Callable[..., Tensor] | None:
    """Return the one operation that stands for N modules, of x, their weights and their biases; None without one."""
    if type(module) is nn.Linear:
        return lambda x, weight, bias: primitives.wide_linear(x, weight, bias, carries)
    if type(module) is nn.LayerNorm:
        return lambda x, weight, bias: primitives.wide_layer_norm(x, module, weight, bias, carries)
    zeros = type(module) in primitives.CONVOLUTIONS and module.padding_mode == "zeros"
    if zeros and (carries or module.groups == 1):  # else the channels of one tower would meet those of others
        return lambda x, weight, bias: primitives.wide_convolution(x, module, weight, bias, carries)
    return None


def _vmapped_module(node: fx.Node, known: Translation, module: nn.Module, path: str) -> Callable[..., Any]:
    own_names = known.names_of(path, module)
    own_dims = {name: known.stack.dims[first] for name, first in own_names.items()}
    flags = [known.carries(each) for each in node.all_input_nodes]
    random, fill = drops(module), filler(node)
    batched = node.name in known.batched

    def run(values: Any, streams: Streams | None, *inputs: Any) -> Any:
        def one(tensors: dict[str, Tensor], key: Tensor | None, *own_inputs: Any) -> Any:
            args, kwargs = fill(own_inputs)
            if streams is None or key is None:
                return functional_call(module, tensors, args, kwargs)
            with streams.of(key):
                return functional_call(module, tensors, args, kwargs)

        tensors = {name: values[first] for name, first in own_names.items()}
        if not batched:
            return one(tensors, None, *inputs)
        keys = streams.keys if streams is not None and random else None
        input_dims = tuple(dims_of(each, flag) for each, flag in zip(inputs, flags, strict=True))
        return vmapped(one, (own_dims, None if keys is None else 0, *input_dims), tensors, keys, *inputs)

    return run
