"""Towers computed together operation by operation: a linear map of all of them is one product."""

from collections import Counter
from typing import Any

from torch import Tensor

from organisms.towers.wide.groups.group import Batch, TowerGroup, Towers
from organisms.towers.wide.groups.stack import Stack
from organisms.towers.wide.groups.streams import Streams
from organisms.towers.wide.operations.operation import Operation
from organisms.towers.wide.operations.translate import wide_graph


class WidePrimitiveTowerGroup(TowerGroup):
    """N towers of one signature as one graph; operations without one for all towers are vectorised by vmap.

    Differs from the documents: parameters are stacked once and the towers' are views of the stack, so that training
    stacks nothing anew; and custom forward passes with residuals are taken apart too, not treated as opaque.

    Parameters
    ----------
    towers, stack
        As `TowerGroup` takes them.

    Raises
    ------
    UnbatchableError
        Also if their operations cannot be listed.
    """

    def __init__(self, towers: Towers, stack: Stack | None = None) -> None:
        super().__init__(towers, stack)
        self.graph = wide_graph(self.template[0], self.stack, len(self.names))
        self.checked_template()

    def batch(self, values: dict[str, Tensor], streams: Streams | None, x: Any) -> Batch:
        """Return opinions and caches of all towers, as `TowerGroup.batch` does.

        Parameters
        ----------
        values, streams, x
            As `TowerGroup.batch` takes them.
        """
        return self.graph(values, streams, x)

    def coverage(self) -> dict[str, float]:
        """Return how many operations are fused, vectorised by vmap and shared by all towers, and the fused share."""
        kinds = Counter(each.kind for each in self.graph.modules() if isinstance(each, Operation))
        each = {kind: kinds[kind] for kind in ("fused", "vmap", "shared")}
        return {**each, "share": each["fused"] / max(each["fused"] + each["vmap"], 1)}
