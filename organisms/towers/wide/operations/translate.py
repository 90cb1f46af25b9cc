"""From the graph of one tower to the graph of N: each operation becomes one for all towers, or is vectorised by vmap.

What does not depend on a tower's parameters is computed once for all. Whether a value carries the towers is known when
the graph is made (`batched`), its shape when it runs.
"""

from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from organisms.towers.wide.groups.stack import Stack
from organisms.towers.wide.operations.functions import function
from organisms.towers.wide.operations.modules import module
from organisms.towers.wide.operations.operation import Operation, Translation, filler
from organisms.towers.wide.operations.trace import module_path, traced


def wide_graph(template: nn.Module, stack: Stack, number: int) -> fx.GraphModule:
    """Return a module of ``(values, streams, x)`` to opinions and caches of N towers; its code can be printed.

    Parameters
    ----------
    template
        A tower without numbers.
    stack
        The towers' parameters.
    number
        N.

    Raises
    ------
    UnbatchableError
        If the operations cannot be listed.
    """
    graph, root = traced(template)
    known = Translation(root, stack, number)
    wide, operations, copies = fx.Graph(), nn.Module(), {}
    values, streams = wide.placeholder("values"), wide.placeholder("streams")
    for node in graph.nodes:
        if node.op == "placeholder":
            copies[node] = wide.placeholder(node.name)
            continue
        operation = translated(node, known)
        if node.op == "output":
            wide.output(
                wide.call_module("result", (values, streams, *(copies[n] for n in node.all_input_nodes)))
            )
            operations.add_module("result", operation)
            break
        name = f"{node.name}_"  # no name of torch's own
        operations.add_module(name, operation)
        inputs = (copies[each] for each in node.all_input_nodes)
        copies[node] = wide.call_module(name, (values, streams, *inputs))
    graphed = fx.GraphModule(operations, wide)
    # What stands among the attributes is found and called at once; a submodule costs as much again as a small product.
    vars(graphed).update({name: each.function for name, each in operations.named_children()})
    return graphed


def translated(node: fx.Node, known: Translation) -> Operation:
    """Return the operation of N towers for a node, and note whether its value carries them."""
    if node.op == "output":
        return _result(node, known)
    if node.op == "get_attr":
        return _attribute(node, known)
    return module(node, known) if node.op == "call_module" else function(node, known)


def _attribute(node: fx.Node, known: Translation) -> Operation:
    path = module_path(node.target)
    name = known.stack.first_names[path]
    if known.stacked(path):
        known.batched.add(node.name)
    return Operation(lambda values, _streams: values[name], "shared")


def _result(node: fx.Node, known: Translation) -> Operation:
    flags = [known.carries(each) for each in node.all_input_nodes]

    fill = filler(node)

    def expanded(value: Any) -> Any:
        return tree_map(lambda t: t.expand(known.number, *t.shape) if isinstance(t, Tensor) else t, value)

    def run(_values: Any, _streams: Any, *inputs: Any) -> Any:
        full = [each if flag else expanded(each) for each, flag in zip(inputs, flags, strict=True)]
        return fill(tuple(full))[0][0]

    return Operation(run, "shape")
