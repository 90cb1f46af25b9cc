"""The names of the ways to compute a group of towers, and which of them follow where one cannot."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from kernels.suggestion import did_you_mean

SMALL = 2**17  # numbers of an input from which one tower alone keeps a CPU busy


class ExecutionStrategy(Enum):
    """How towers of one structure are computed; opinions and gradients differ by rounding alone."""

    SEQUENTIAL = "sequential"
    """One tower after the other."""
    VMAP = "vmap"
    """One tower's forward pass, vectorised by ``torch.func.vmap`` over the stack of all parameters."""
    WIDE_COMPILER = "wide_compiler"
    """The towers' operations, each replaced by one for all towers; vectorised by vmap where there is none."""
    AUTO = "auto"
    """The fastest of them, measured once for each group, shape, mode and device; a rule in deterministic mode."""


# What is tried in this order: each falls back on the next, and SEQUENTIAL computes everything.
TRIED: Mapping[ExecutionStrategy, tuple[ExecutionStrategy, ...]] = MappingProxyType(
    {
        ExecutionStrategy.SEQUENTIAL: (),
        ExecutionStrategy.VMAP: (ExecutionStrategy.VMAP,),
        ExecutionStrategy.WIDE_COMPILER: (ExecutionStrategy.WIDE_COMPILER, ExecutionStrategy.VMAP),
        ExecutionStrategy.AUTO: (ExecutionStrategy.WIDE_COMPILER, ExecutionStrategy.VMAP),
    }
)


def named(value: ExecutionStrategy | str) -> ExecutionStrategy:
    """Return the strategy of a value such as "vmap".

    Raises
    ------
    ValueError
        If there is none.
    """
    names = [each.value for each in ExecutionStrategy]
    if not isinstance(value, ExecutionStrategy) and value not in names:
        raise ValueError(
            f"execution_strategy must be one of {', '.join(names)}, but is {value!r}{did_you_mean(value, names)}"
        )
    return ExecutionStrategy(value)


def by_size(numbers: int, device: str) -> ExecutionStrategy:
    """Return what AUTO uses in deterministic mode, where no clock may decide.

    WIDE_COMPILER, which saves the calls that each tower costs; SEQUENTIAL on a CPU for inputs of `SMALL` numbers or
    more, whose products outweigh them.

    Parameters
    ----------
    numbers
        How many numbers the input of a tower has.
    device
        The kind of device, such as "cpu".
    """
    if device == "cpu" and numbers >= SMALL:
        return ExecutionStrategy.SEQUENTIAL
    return ExecutionStrategy.WIDE_COMPILER
