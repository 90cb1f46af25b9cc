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
        """Return the value of the node.

        Parameters
        ----------
        values
            What the stack holds.
        streams
            Where dropout draws from; None: nothing is dropped.
        inputs
            The values of the nodes that it needs.
        """
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

    def names_of(self, path: str, module: nn.Module) -> dict[str, str]:
        """Return for the parameters and buffers of a module, by their names in it, the names in the stack."""
        own = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
        return {name: self.stack.first_names[f"{path}.{name}" if path else name] for name in own}

    def stacked(self, path: str) -> bool:
        """Whether a parameter or buffer differs between towers."""
        return self.stack.dims[self.stack.first_names[path]] == 0


def filler(node: fx.Node) -> Callable[[tuple[Any, ...]], tuple[Any, Any]]:
    """Return a function from the values of a node's inputs to its arguments and keyword arguments."""
    order = node.all_input_nodes
    if list(node.args) == order and not node.kwargs:
        return lambda inputs: (inputs, {})
    args, kwargs = (_recipe(each, order) for each in (node.args, dict(node.kwargs)))
    return lambda inputs: (args(inputs), kwargs(inputs))


def _recipe(argument: Any, order: list[fx.Node]) -> Callable[[tuple[Any, ...]], Any]:
    """Return a function from the values of nodes in this order to an argument that holds them at any depth."""
    if isinstance(argument, fx.Node):
        at = order.index(argument)
        return lambda inputs: inputs[at]
    if isinstance(argument, dict):
        named = {key: _recipe(each, order) for key, each in argument.items()}
        return lambda inputs: {key: each(inputs) for key, each in named.items()}
    if isinstance(argument, slice):
        parts = [_recipe(each, order) for each in (argument.start, argument.stop, argument.step)]
        return lambda inputs: slice(*(each(inputs) for each in parts))
    if isinstance(argument, list | tuple):
        kind = tuple if isinstance(argument, tuple) else list
        items = [_recipe(each, order) for each in argument]
        return lambda inputs: kind([each(inputs) for each in items])
    return lambda inputs: argument


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
