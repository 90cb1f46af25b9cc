"""The memory of a step, counted: a function of shapes alone, so that the same is decided on every machine.

It is what has to be there at once where a step turns from its forward to its backward pass. An allocator would also say
what other work a worker did before, by which no run may go.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from organisms.species import Organism


class StepMemory:
    """Counts the bytes that the largest of some steps of an organism takes.

    Counted are the parameters of all slots, empty ones too, their gradients, the moments and counts of the optimizer,
    and every storage that autograd keeps for the backward pass, each once. Not counted are the interface, which a
    worker has once for all its organisms, and what an operation needs only while it runs.
    """

    def __init__(self, organism: Organism) -> None:
        pool = organism.pool
        known = (*pool.tensors().values(), *organism.interface.values())
        self._known = {_place(tensor) for tensor in known}
        self._standing = sum(_bytes(tensor) for tensor in (*pool.tensors().values(), *pool.stacks.values()))
        self.largest = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count what autograd keeps of the forward pass that runs in this context."""
        kept: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            kept.append(tensor.detach())  # held until all are counted, so that no place is given away twice
            return kept[-1]

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield
        self.largest = max(self.largest, self._standing + self._of(kept))

    def _of(self, kept: Sequence[Tensor]) -> int:
        storages = {_place(tensor): tensor.untyped_storage().nbytes() for tensor in kept}
        return sum(size for place, size in storages.items() if place not in self._known)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
