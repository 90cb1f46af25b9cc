"""The generators that a forward pass may draw from without being given one: whether they moved, and back again."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from organisms.towers.wide.groups.vectorised import UnbatchableError

# ruff: noqa: NPY002 - nothing is drawn here, but others do

DRAWS = "its forward pass draws random numbers and goes by them"


def states() -> tuple[Any, ...]:
    """Return the states of Python's, numpy's and torch's global generators, to be compared."""
    numpy = np.random.get_state(legacy=False)["state"]
    return random.getstate(), numpy["pos"], numpy["key"].tobytes(), torch.get_rng_state().numpy().tobytes()


@contextmanager
def untouched(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Put the global generators back to where they were, also those of torch on some devices besides the CPU."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def unmoved() -> Iterator[None]:
    """Put the global generators back to where they were, and refuse what has drawn from them.

    Raises
    ------
    UnbatchableError
        If something has: towers computed together, or listed, would draw once, and one by one each for itself.
    """
    with untouched():
        before = states()
        yield
        if states() != before:
            raise UnbatchableError(DRAWS)
