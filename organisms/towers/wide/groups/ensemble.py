"""Two ways to compute the same towers, mixed by learnt weights, as the documents want it.

It buys nothing: ways that agree mix to what each gives, for any weights, and so do their gradients; the weights' own
gradient is zero but for rounding. What it costs is a second pass.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from organisms.towers.wide.groups.group import Towers
from organisms.towers.wide.groups.primitive_group import WidePrimitiveTowerGroup
from organisms.towers.wide.groups.stack import Stack
from organisms.towers.wide.groups.streams import keys as drawn_keys
from organisms.towers.wide.groups.vectorised import parts
from organisms.towers.wide.groups.vmap_group import VMapTowerGroup


class SubEnsembleGroup(nn.Module):
    """sum_p softmax(weights)_p opinion_p over the ways p: vmap and wide primitives.

    Parameters
    ----------
    towers, stack
        As `TowerGroup` takes them.
    weights
        The weights before the softmax, [2]; None: new ones, of zeros.

    Raises
    ------
    UnbatchableError
        If the towers cannot be computed in one of the ways.
    """

    def __init__(
        self, towers: Towers, stack: Stack | None = None, weights: nn.Parameter | None = None
    ) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2)) if weights is None else weights
        self.wide = WidePrimitiveTowerGroup(towers, stack)
        self.vmap = VMapTowerGroup(towers, self.wide.stack)

    def forward(self, x: Any, keys: Tensor | None = None) -> dict[str, Any]:
        """Return the opinion of each tower; caches and buffers are those of one pass.

        Parameters
        ----------
        x
            The input of every tower.
        keys
            What the towers' dropouts draw from, int64 [N]; None: drawn from torch's own generator.
        """
        wide = self.wide
        drawn = drawn_keys(len(wide.names), None) if keys is None and wide.drops else keys
        other, _ = self.vmap.batch(self.vmap.stack.values(), self.vmap.streams(drawn), x)
        opinions = wide(x, drawn)
        shares = self.weights.softmax(0)
        others = dict(zip(wide.names, parts(other, len(wide.names)), strict=True))
        return tree_map(lambda a, b: shares[0].to(a) * b + shares[1].to(a) * a, opinions, others)
