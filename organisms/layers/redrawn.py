"""Refusal of gradients that are recomputed with other random numbers than the forward pass drew.

`torch.utils.checkpoint` runs a forward pass again while gradients are computed. A generator of the caller's has moved
on by then, so that dropout and noise would be others, and all gradients silently wrong. The state that the numbers were
drawn from is therefore kept twice: as it was, and as a tensor that recomputation replaces.
"""

from typing import Any

import torch
from torch import Tensor

from kernels.untraced import untraced


@untraced
def state_of(generator: torch.Generator | None) -> Tensor | None:
    """Return the state of a generator before a forward pass draws from it; None where no gradient can follow."""
    if not isinstance(generator, torch.Generator) or not torch.is_grad_enabled():
        return None
    return generator.get_state()


@untraced
def drawn_once(y: Tensor, before: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """Return y, whose gradient is refused if recomputation drew from another state.

    With ``use_reentrant=True`` nothing can tell: the forward pass is without gradients there.

    Parameters
    ----------
    y
        What the numbers went into.
    before
        What `state_of` returned before they were drawn.
    generator
        What they were drawn from, if any were.
    """
    if generator is None or before is None or torch.equal(before, generator.get_state()):
        return y
    return _DrawnOnce.apply(y, before)


class _DrawnOnce(torch.autograd.Function):
    @staticmethod
    def forward(y: Tensor, before: Tensor) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.before = inputs[1]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (again,) = ctx.saved_tensors
        if not torch.equal(ctx.before, again):
            raise RuntimeError(
                "recomputing a layer (torch.utils.checkpoint) drew other noise or dropout than its forward pass did, "
                "and gradients would be wrong: let the checkpointed function make its generator each time, "
                "torch.Generator().manual_seed(seed), or set checkpoint_experts and leave out the checkpoint"
            )
        return grad, None
