"""Dividing a finite set of examples into disjoint splits, the same ones on every machine."""

from itertools import pairwise

import numpy as np

from organisms.task import Split
from runs.errors import ConfigError


def stratified(
    labels: np.ndarray, sizes: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Draw disjoint index sets in which every class has equally many members, and then the rest.

    Parameters
    ----------
    labels
        Class of each example, integers [N].
    sizes
        Members of each drawn set, each a multiple of the number of classes.
    generator
        Stream that shuffles the examples.

    Returns
    -------
    tuple of arrays
        One index array per size, in random order, and last the indices of all other examples.

    Raises
    ------
    ValueError
        If a size is no multiple of the number of classes, or a class has too few members.
    """
    classes = np.unique(labels)
    shares = [size // len(classes) for size in sizes]
    if any(share * len(classes) != size for share, size in zip(shares, sizes, strict=True)):
        raise ValueError(f"sizes must be multiples of the {len(classes)} classes; got {sizes}")
    # Sorting uniform draws, because the bits of `random` are older and steadier than those of `permutation`.
    order = np.argsort(generator.random(len(labels)), kind="stable")
    place = _place_in_class(labels[order], classes)
    bounds = np.cumsum([0, *shares])
    if np.bincount(np.searchsorted(classes, labels)).min() < bounds[-1]:
        raise ValueError(f"each class needs {bounds[-1]} members for sets of {sizes}; one has fewer")
    drawn = [order[(place >= low) & (place < high)] for low, high in pairwise(bounds)]
    return (*drawn, order[place >= bounds[-1]])


def _place_in_class(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Count for each example how many before it have its class, int64 [N]."""
    before = np.cumsum(labels[:, None] == classes, axis=0) - 1
    return before[np.arange(len(labels)), np.searchsorted(classes, labels)]


def capped(train: Split, examples: int | None) -> Split:
    """Keep at most `examples` training examples, evenly spaced so that no part of a corpus is favoured.

    Raises
    ------
    ConfigError
        If `examples` is below 1.
    """
    if examples is None or examples >= len(train):
        return train
    if examples < 1:
        raise ConfigError(f"task.examples is {examples}; it must be at least 1")
    kept = np.arange(examples) * len(train) // examples
    labels = None if train.labels is None else train.labels[kept]
    return Split(train.inputs[kept], train.targets[kept], labels)
