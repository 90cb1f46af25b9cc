"""Activations that a structural gene chooses: each maps 0 to 0, so that padding with zeros stays without effect."""

from collections.abc import Sequence

import torch
from torch import Tensor

from organisms.layers.activations import ACTIVATIONS

ACTIVATION_NAMES = ("gelu", "relu", "silu")  # what the gene `activation` counts
GENE_ACTIVATIONS = tuple(ACTIVATIONS[kind] for kind in ACTIVATION_NAMES)


def activated(hidden: Tensor, kinds: Sequence[int], slots: Tensor) -> Tensor:
    """Apply to every number the activation of its slot.

    Parameters
    ----------
    hidden
        Numbers of any shape.
    kinds
        The gene of every slot; of an empty one it does not matter.
    slots
        The slot of each number, int64, broadcast to `hidden`.
    """
    present = sorted(set(kinds)) or [0]
    found = GENE_ACTIVATIONS[present[0]](hidden)
    kind_of = torch.tensor(kinds, device=slots.device)[slots]
    for kind in present[1:]:
        found = torch.where(kind_of == kind, GENE_ACTIVATIONS[kind](hidden), found)
    return found
