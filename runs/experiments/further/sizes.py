"""How large the best network of a run is: parameters and counted FLOPs of its living parts."""

import math

import numpy as np

from archive_store.encoding import decode
from archive_store.reading import Run
from runs.results.best import newest


def sizes(run: Run) -> dict[str, float]:
    """Return ``network_parameters`` and ``network_flops`` (per example, forward); empty where no state is kept.

    The network is that of the best validation score at the newest checkpoint. Its shared stem and readout do not count.

    Raises
    ------
    StoreError
        If the run is damaged.
    """
    state = newest(run)
    if state is None:
        return {}
    records = run.records()
    own = records[(records["organism"] == state.organism) & (records["round"] == state.round)]
    arrays, _ = decode(run.directory.blobs.get(state.digest))
    stacks = [array for name, array in arrays.items() if name.startswith("stacks.")]
    held = sum(held_in(stack[slot]) for stack in stacks for slot in own["slot"].astype(int))
    return {"network_parameters": float(held), "network_flops": float(own["flops"].sum())}


def held_in(padded: np.ndarray) -> int:
    """Return the size of the smallest leading corner of an array beyond which there are zeros alone.

    A slot is padded with zeros behind the component's own sizes, and no number in a trained row or column is exactly 0
    throughout: so this is the size of the component's own array, whatever its family.
    """
    places = np.nonzero(padded)
    return math.prod(int(each.max()) + 1 for each in places) if places[0].size else 0
