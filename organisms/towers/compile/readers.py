"""Calls of modules in a graph: which read the same value, and why these cannot become one, or others are left.

Modules that read one value do not need one another: computed where the first of them stands, they give the same.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from torch import fx, nn

from organisms.towers.wide.groups.stack import partly_shared
from organisms.towers.wide.groups.streams import drops

Calls: TypeAlias = list[fx.Node]
# Functions that write into their first argument and do not say so by a last underscore.
WRITING = frozenset(
    {
        "setitem",
        "iadd",
        "isub",
        "imul",
        "itruediv",
        "ifloordiv",
        "imod",
        "ipow",
        "imatmul",
        "iand",
        "ior",
        "ixor",
    }
)


def path_of(call: fx.Node) -> str:
    """Return the path in the module of what a node calls."""
    return str(call.target).removeprefix("module").removeprefix(".")


def readers(graph: fx.Graph, structures: Mapping[str, Hashable]) -> list[Calls]:
    """Return the calls of different modules of one structure that read the same value and nothing else.

    `structures` are those of modules by their paths; calls of others are left out.
    """
    found: dict[Hashable, dict[str, fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_module" and path_of(node) in structures and _reads_one(node):
            key = structures[path_of(node)], node.args[0]
            found.setdefault(key, {}).setdefault(path_of(node), node)
    return [list(calls.values()) for calls in found.values() if len(calls) > 1]


def hindrance(calls: Calls, module: nn.Module) -> str | None:
    """Return why calls of modules in a module that read one value cannot become one; None if they can."""
    modules = [module.get_submodule(path_of(call)) for call in calls]
    if any(drops(each) for each in modules):
        return "they drop at random, and would draw in another order"
    if tied := partly_shared(modules):
        return f"{tied} is shared with others of them"
    if _aliased(modules, module):
        return "a parameter of theirs shares its memory with another one"
    nodes = list(calls[0].graph.nodes)
    between = nodes[nodes.index(calls[0]) : nodes.index(calls[-1])]
    if any(_changes_in_place(node, module) for node in between):
        return "a tensor is changed in place between them"
    return None


def left_because(paths: Sequence[str], graph: fx.Graph) -> str:
    """Return why no two modules of one structure, at these paths, read the same value."""
    nodes = [node for node in graph.nodes if node.op == "call_module" and path_of(node) in paths]
    if not nodes:
        return "the forward pass does not call them as they are"
    if not all(map(_reads_one, nodes)):
        return "they are called with more than one input"
    if len({path_of(node) for node in nodes}) == 1:
        return "no other one of its structure reads what it does"
    if any(_needs(later, earlier) for earlier, later in pairwise(nodes)):
        return "they wait for one another"
    return "they read different inputs"


def _reads_one(node: fx.Node) -> bool:
    return len(node.args) == 1 and isinstance(node.args[0], fx.Node) and not node.kwargs


def _changes_in_place(node: fx.Node, module: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(path_of(node)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    written = bool(node.kwargs.get("inplace")) or node.kwargs.get("out") is not None
    return written or name in WRITING or (name.endswith("_") and not name.endswith("__"))


def _aliased(modules: Sequence[nn.Module], module: nn.Module) -> bool:
    """Whether two parameters are different tensors in one place of memory, one of them in some of the modules."""
    places = Counter(each.data_ptr() for each in module.parameters() if each.numel())
    return any(places[p.data_ptr()] > 1 for each in modules for p in each.parameters() if p.data_ptr())


def _needs(later: fx.Node, earlier: fx.Node) -> bool:
    """Whether a node needs the value of an earlier one."""
    seen: set[fx.Node] = set()
    waiting = [later]
    while waiting:
        for each in waiting.pop().all_input_nodes:
            if each is earlier:
                return True
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False
