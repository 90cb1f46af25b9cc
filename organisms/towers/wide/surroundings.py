"""What surrounds a pass and speaks against computing towers together in it, or against learning from it."""

import torch
from torch import nn

RECOUNTED = (
    "saved tensors are counted, as by a checkpoint: nothing is tried out, only what has been proven is used"
)


def hindrance() -> str | None:
    """Return why towers are computed one by one in this pass, whatever they are; None if nothing speaks against it."""
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func is at work around them"
    if nn.modules.module._has_any_global_hook():
        return "there are hooks for all modules, which want to see each tower"
    return None


def recounted() -> bool:
    """Whether somebody takes the tensors that are saved for the backward pass.

    A checkpoint does, and does the pass once more, which then has to save the same ones. So it must not be the pass in
    which a way is proven or measured.
    """
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
