"""A user's module whose organisms take more memory than there is."""

import torch

from organisms.pool import Pool
from organisms.pseudopods.species.family import Pseudopods
from tests.faults.exploding import STEPS, Changed, number

MOST = 4  # components for which there is room: as many as an organism of `smoke` begins with
ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
    ),
)


def crowded(pool: Pool) -> bool:
    return len(list(pool.alive())) > MOST


class Narrow(Changed, Pseudopods):
    """There is no room for a fifth component, of which GPU and CPU complain in turn; calibration has it."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) >= 0 and crowded(pool)

    def change(self, losses: torch.Tensor, pool: Pool) -> torch.Tensor:
        raise ERRORS[number(pool) % len(ERRORS)]


class Walled(Narrow):
    """From the second round on there is room for nobody."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) >= 0 and bool(pool.counts.max() >= STEPS)


class Cramped(Narrow):
    """There never is any room."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) >= 0
