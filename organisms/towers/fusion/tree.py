"""A tree of gates: opinions are fused by pairs, and pairs by pairs."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from organisms.towers.fusion.component import FusionComponent


@dataclass(frozen=True, slots=True)
class Node:
    """A gate of a tree over the opinions `first` to `last` - 1, which leads those before `middle` to its left."""

    first: int
    middle: int
    last: int


def balanced(first: int, last: int) -> list[Node]:
    """Return the last - first - 1 gates of a balanced binary tree, every one after those below it."""
    if last - first < 2:
        return []
    middle = (first + last + 1) // 2
    return [*balanced(first, middle), *balanced(middle, last), Node(first, middle, last)]


class HierarchicalTreeGating(FusionComponent):
    """y = y(root) with y(node) = g y(left) + (1 - g) y(right) and g = sigmoid(a . y(left) + c . y(right) + b).

    A balanced binary tree whose leaves are the opinions in their order; every gate has its own a, c and b, and is
    computed for each position by itself. The weight of an opinion is the product of the gates on its way, so that the
    weights sum to 1. b begins at the log of left over right opinions below: with a and c at 0, y is the mean. The
    equation is ours: the documents say "tree-structured gating for deep fusion".

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    options
        `seed`, and options of `TorchComponent`.
    """

    def __init__(self, name: str, num_inputs: int, in_features: int, **options: Any) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        self.nodes = balanced(0, num_inputs)
        self.gate = self.matrix("gate", len(self.nodes), 2 * in_features)
        sizes = [(node.middle - node.first) / (node.last - node.middle) for node in self.nodes]
        self.bias = nn.Parameter(torch.tensor(sizes).log())

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the opinion at the root."""
        fused = {(n, n + 1): opinion for n, opinion in enumerate(opinions.unbind(0))}
        for node, weight, bias in zip(self.nodes, self.gate, self.bias, strict=True):
            left, right = fused[node.first, node.middle], fused[node.middle, node.last]
            a, c = weight.chunk(2)
            g = (left @ a + right @ c + bias).sigmoid().unsqueeze(-1)
            fused[node.first, node.last] = right + g * (left - right)
        return fused[0, self.num_inputs]
