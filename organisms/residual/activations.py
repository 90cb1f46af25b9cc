"""Activations that a structural gene chooses: each maps 0 to 0, so that padding with zeros stays without effect."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.layers.activations import ACTIVATIONS

ACTIVATION_NAMES = ("gelu", "relu", "silu")  # what the gene `activation` counts
GENE_ACTIVATIONS = tuple(ACTIVATIONS[kind] for kind in ACTIVATION_NAMES)


def activated(hidden: Tensor, present: Sequence[int], kind_of: Tensor) -> Tensor:
    """Apply to every number the activation of its kind.

    Parameters
    ----------
    hidden
        Numbers of any shape.
    present
        The kinds that there are, at least one.
    kind_of
        The kind of each number, one of those, int64, broadcast to `hidden`.
    """
    found = GENE_ACTIVATIONS[present[0]](hidden)
    for kind in present[1:]:
        found = torch.where(kind_of == kind, GENE_ACTIVATIONS[kind](hidden), found)
    return found


def activated_slots(hidden: Float[Tensor, "n T H"], kinds: Sequence[int]) -> Float[Tensor, "n T H"]:
    """Apply to all numbers of each of n slots the activation that its gene says."""
    each = [GENE_ACTIVATIONS[kind](slot) for kind, slot in zip(kinds, hidden.unbind(0), strict=True)]
    return torch.stack(each) if each else hidden
