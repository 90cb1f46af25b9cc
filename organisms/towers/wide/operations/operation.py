"""A node of the graph of N towers, and what is known while it is made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from organisms.towers.wide.groups.stack import Stack
from organisms.towers.wide.groups.streams import Streams
from organisms.towers.wide.groups.vectorised import UnbatchableError


class Operation(nn.Module):
    """A node of the wide graph; called with what the stack holds, the streams, and its inputs.

    Parameters
    ----------
    function
        What it does.
    kind
        "fused": one operation for all towers; "vmap": vectorised; "shared": computed once; "shape": of sizes.
    """

    def __init__(self, function: Callable[..., Any], kind: str) -> None:
        super().__init__()
        self.function, self.kind = function, kind

    def forward(self, values: dict[str, Tensor], streams: Streams | None, *inputs: Any) -> Any:
        """Return the value of the node."""
        return self.function(values, streams, *inputs)


@dataclass(slots=True)
class Translation:
    """What is known while a graph is translated.

    Parameters
    ----------
    root
        The traced module.
    stack
        The towers' parameters.
    number
        N.
    batched
        The names of the nodes whose values carry the towers.
    """

    root: nn.Module
    stack: Stack
    number: int
    batched: set[str] = field(default_factory=set)

    def carries(self, node: Any) -> bool:
        """Whether the value of a node has the towers in front."""
        return isinstance(node, fx.Node) and node.name in self.batched

    def stacked(self, path: str) -> bool:
        """Whether a parameter or buffer differs between towers."""
        return self.stack.dims[self.stack.first_names[path]] == 0


def filler(node: fx.Node) -> Callable[[tuple[Any, ...]], tuple[Any, Any]]:
    """Return a function from the values of a node's inputs to its arguments and keyword arguments."""
    order = node.all_input_nodes
    if list(node.args) == order and not node.kwargs:
        return lambda inputs: (inputs, {})
    if all(_is_flat(each) for each in (*node.args, *node.kwargs.values())):
        places = [order.index(each) if isinstance(each, fx.Node) else None for each in node.args]
        named = {key: order.index(each) for key, each in node.kwargs.items() if isinstance(each, fx.Node)}
        constants, others = node.args, dict(node.kwargs)

        def flat(inputs: tuple[Any, ...]) -> tuple[Any, Any]:
            args = tuple(c if at is None else inputs[at] for c, at in zip(constants, places, strict=True))
            return args, others | {key: inputs[at] for key, at in named.items()}

        return flat

    def nested(inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        found = dict(zip(order, inputs, strict=True))
        args = fx.node.map_arg(node.args, lambda each: found[each])
        return args, fx.node.map_arg(node.kwargs, lambda each: found[each])

    return nested


def _is_flat(argument: Any) -> bool:
    return isinstance(argument, fx.Node | int | float | str | type(None))


def dropped(x: Tensor, probability: float, streams: Streams | None, carries: bool) -> Tensor:
    """Return what dropout leaves of x for each tower, [N, ...].

    Parameters
    ----------
    x
        The input, with the towers in front if it `carries` them.
    probability
        Share that is dropped.
    streams
        Where the towers draw from.
    carries
        Whether each tower has its own x.

    Raises
    ------
    UnbatchableError
        If there are no streams: nothing that a tower holds says that it drops.
    """
    if streams is None:
        raise UnbatchableError("it draws random numbers that no module of it announces")
    each = x if carries else x.expand(len(streams.keys), *x.shape)
    return torch.func.vmap(lambda own_x, key: streams.dropped(own_x, probability, key))(each, streams.keys)
