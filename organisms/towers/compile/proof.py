"""Whether a program gives what its module does: tried on copies of both, so that nothing happens to either."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from organisms.towers.compile.call import Call
from organisms.towers.compile.program import Program
from organisms.towers.wide.agreement import agree, gradients, largest
from organisms.towers.wide.groups.signature import HOOKS
from organisms.towers.wide.groups.watch import Watch
from organisms.towers.wide.randomness import untouched
from organisms.towers.wide.strategy import ExecutionStrategy

CHANGES = "a call changes attributes of modules in it, which operations do not notice"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a call leaves behind: outputs, inputs and buffers, and the gradients of inputs and parameters."""

    left: list[Any]
    grads: list[Tensor]


def refuted(program: Program, module: nn.Module, tensors: Sequence[Tensor]) -> str | None:
    """Return why a program must not stand for a module; None if it may, for inputs of this kind.

    Compared are outputs, the gradients of inputs and parameters, buffers, and the inputs as they are afterwards. What
    the module raises is raised.

    Parameters
    ----------
    program
        The operations of the module in one form of call.
    module
        The module.
    tensors
        The tensors of the call.
    """
    plain, other = without_hooks(module), without_hooks(module)
    watch = Watch([plain])
    wanted = observed(plain, Call(plain, program.form), tensors)
    if not watch.unchanged():
        return CHANGES
    bound = program.of(other)
    try:
        found = observed(other, lambda given: bound(ExecutionStrategy.SEQUENTIAL, given), tensors)
    except Exception as error:  # of any kind: the module itself computes this input
        return str(error).partition("\n")[0] or type(error).__name__
    scale = max(map(largest, wanted.grads), default=0.0)  # of all of them: one may be zero but for rounding
    if agree(found.left, wanted.left) and agree(found.grads, wanted.grads, scale):
        return None
    return "its operations, one by one, give something else than it gives itself"


def without_hooks(module: nn.Module) -> nn.Module:
    """Return a copy of a module that tells nobody what it does."""
    copied = copy.deepcopy(module)
    for each in copied.modules():
        for hooks in HOOKS:
            getattr(each, hooks).clear()
    return copied


def observed(module: nn.Module, function: Callable[[Any], Any], tensors: Sequence[Tensor]) -> Observed:
    """Return all that one call leaves behind; it draws what would be drawn next, and no generator moves.

    Parameters
    ----------
    module
        The module that computes.
    function
        The call of it, of copies of the tensors.
    tensors
        Its input.
    """
    given = [each.clone() for each in tensors]
    leaves = [each for each in (*given, *module.parameters()) if each.requires_grad]
    devices = [each.device for each in (*given, *module.parameters()) if each.is_cuda]
    with untouched(list(dict.fromkeys(devices))):
        outputs = function(given)
    grads = gradients(outputs, leaves) if torch.is_grad_enabled() else []
    return Observed([outputs, given, list(module.buffers())], grads)
