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


def filled(node: fx.Node, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the arguments of a node with values in place of its inputs."""
    found = dict(zip(node.all_input_nodes, inputs, strict=True))
    args = fx.node.map_arg(node.args, lambda each: found[each])
    return args, fx.node.map_arg(node.kwargs, lambda each: found[each])


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
