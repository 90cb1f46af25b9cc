"""Handwritten digits: 1797 real 8x8 images, each read as sixteen tokens of 2x2 pixels."""

from functools import cache

import numpy as np

from organisms.task import Split, Task
from qd.seeding import generator
from runs.errors import ConfigError
from runs.tasks.options import Options, refuse_kinds, refuse_path
from runs.tasks.splits import capped, stratified

HELD_OUT = (200, 200, 300)  # probe, validation, test: 20, 20 and 30 images of each digit
TOKENS = 16
_INK = 16.0  # the largest value of a pixel


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of naming the digit of an image.

    Tokens are continuous, float32 [N, 16, 4]: the 2x2 patches of an image in reading order, each pixel
    ``value / 16 - mean`` with the one mean of all training pixels. Positions are the patches' rows and
    columns on the 4x4 grid, in patches. The splits (train 1097, probe 200, validation 200, test 300)
    come from a named stream that knows nothing of the run's seed, so that all runs can be compared.

    Raises
    ------
    ConfigError
        If the options ask for a file, kinds, another length or less than one example.

    Source: Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits" (UCI), the test part,
    as scikit-learn ships it.
    """
    refuse_path(options)
    refuse_kinds(options)
    if options.length not in (None, TOKENS):
        raise ConfigError(
            f"task.length is {options.length}, but an image of the task 'digits' always has {TOKENS} tokens; "
            "remove task.length"
        )
    images, labels = _images()
    probe, validation, test, train = stratified(labels, HELD_OUT, generator(0, 0, "task:digits:splits"))
    tokens = patches(images.reshape(-1, 8, 8) / _INK)
    tokens = (tokens - tokens[train].mean()).astype(np.float32)

    def split(indices: np.ndarray) -> Split:
        return Split(tokens[indices], labels[indices].astype(np.int64))

    return Task(
        name="digits",
        kind="class",
        train=capped(split(train), options.examples),
        probe=split(probe),
        validation=split(validation),
        test=split(test),
        tokens="continuous",
        features=4,
        outputs=10,
        positions=np.indices((4, 4)).reshape(2, TOKENS).T.astype(np.float64),
    )


@cache
def _images() -> tuple[np.ndarray, np.ndarray]:
    """Read images and labels, once a process: parsing the file takes longer than all that is made of it."""
    from sklearn.datasets import load_digits  # takes over a second

    images, labels = load_digits(return_X_y=True)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def patches(images: np.ndarray) -> np.ndarray:
    """Cut images [N, 8, 8] into their 2x2 patches in reading order, [N, 16, 4]."""
    return images.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(-1, TOKENS, 4)
