"""Which examples each optimizer step takes, drawn by seed and epoch, so that no state is kept from step to step."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qd.seeding import generator


@dataclass(frozen=True, slots=True)
class Batches:
    """The examples of each step: an epoch is a random order, cut into steps, each of which is cut into parts.

    The last step of an epoch takes what is left, so that its parts, the micro-batches, may be smaller, by one example
    from each other, and empty.

    Parameters
    ----------
    seed
        Of the training.
    examples
        N, the training examples.
    batch
        Examples of a micro-batch.
    parts
        Micro-batches of a step: those of one process, times processes.
    """

    seed: int
    examples: int
    batch: int
    parts: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every example is taken once."""
        return math.ceil(self.examples / (self.batch * self.parts))

    @property
    def too_large(self) -> str | None:
        """A sentence where a step has too few examples to take; None: it has enough."""
        size = self.batch * self.parts
        if size <= self.examples:
            return None
        parts = "" if self.parts == 1 else f" times {self.parts} micro-batches"
        return (
            f"data.batch_size {self.batch}{parts} is more than the {self.examples} examples to train on: each step "
            "takes all of them"
        )

    def of(self, step: int) -> list[np.ndarray]:
        """Return the examples of each micro-batch of a step, which count from 1, int64."""
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        size = self.batch * self.parts
        chosen = order(self.seed, epoch, self.examples)[place * size : (place + 1) * size]
        return np.array_split(chosen, self.parts)


@lru_cache(maxsize=2)
def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of the examples in an epoch, counted from 0: a permutation of N, int64.

    Parameters
    ----------
    seed
        Of the training.
    epoch
        Which one; each has an order of its own.
    examples
        N.
    """
    # Sorting uniform draws, because the bits of `random` are older and steadier than those of `permutation`.
    drawn = generator(seed, epoch, "fit:order").random(examples)
    found = np.argsort(drawn, kind="stable")
    found.setflags(write=False)
    return found
