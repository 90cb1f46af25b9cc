"""Gates that are known to be open, so that nobody has to ask the device whether they are."""

from collections.abc import Sequence

import torch
from torch import Tensor


class OpenGates(Tensor):
    """Gates of all slots, [N], none of which is 0, as those of newborns that are just coming.

    An organism leaves out a slot whose gate is 0. To find out it has to read the numbers, and for that the host waits
    until the device has done all its work; of these it knows without. What is computed from them is a plain tensor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as torch's parameters


def rising(slots: Tensor, share: float) -> OpenGates:
    """Return gates of `share`, over 0, for some slots, bool [N], and of 1 for the others; nothing is waited for."""
    return torch.ones(len(slots), device=slots.device).masked_fill(slots, share).as_subclass(OpenGates)


def opened(living: Sequence[int], first: int, gates: Tensor | None) -> list[int]:
    """Return those of the living slots of a layer whose gates are not 0.

    Parameters
    ----------
    living
        Slots, counted from the layer's first.
    first
        Number of that one among all slots.
    gates
        Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
    """
    if not living or gates is None or isinstance(gates, OpenGates):
        return list(living)
    of_all = gates.detach().tolist()
    return [slot for slot in living if of_all[first + slot] > 0]
