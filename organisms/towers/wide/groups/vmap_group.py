"""Towers computed together by ``torch.func.vmap``: one forward pass over the stack of their parameters."""

from contextlib import nullcontext
from typing import Any

from torch import Tensor
from torch.func import functional_call

from organisms.towers.wide.groups.group import Batch, TowerGroup
from organisms.towers.wide.groups.stack import places
from organisms.towers.wide.groups.streams import Streams
from organisms.towers.wide.groups.vectorised import taken, vmapped


class VMapTowerGroup(TowerGroup):
    """N towers of one signature, vectorised as a whole; whatever vmap can do, their forward pass may do.

    Parameters
    ----------
    towers, stack
        As `TowerGroup` takes them.
    """

    def batch(self, values: dict[str, Tensor], streams: Streams | None, x: Any) -> Batch:
        """Return opinions and caches of all towers, as `TowerGroup.batch` does.

        Parameters
        ----------
        values, streams, x
            As `TowerGroup.batch` takes them.
        """
        tower, first_names = self.template[0], self.stack.first_names
        where = places(tower)

        def one(own: dict[str, Tensor], key: Tensor | None) -> Batch:
            with nullcontext() if streams is None or key is None else streams.of(key):
                tensors = {name: own[first_names[name]] for name in where}
                opinion = functional_call(tower, tensors, (x,), tie_weights=False)
            return opinion, taken(tower)

        keys = None if streams is None else streams.keys
        try:
            return vmapped(one, (self.stack.dims, None if keys is None else 0), values, keys)
        finally:
            taken(tower)  # of a pass that failed
