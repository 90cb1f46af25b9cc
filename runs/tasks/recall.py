"""Recall: what a key was shown with, asked when its chunk is out of sight.

Streams are named by split and start from seed 0, not from the run's: another seed changes the run and never the data.
"""

import numpy as np

from organisms.task import Split, Task
from qd.seeding import generator
from runs.tasks.options import Options, chunks_between, length_between, refuse_kinds, refuse_path
from runs.tasks.splits import capped

SIZES = {"train": 1600, "probe": 120, "validation": 200, "test": 400}  # streams
LENGTH, CHUNKS = 8, 8  # tokens of a chunk, chunks of a stream
MOST = 64  # of either
VALUES = 8


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of answering, at every token, with the value that its key was shown with.

    A stream of K chunks of T tokens (both 8 by default) has T + K - 1 keys, each with one of 8 values, drawn anew for
    every stream. The first chunk shows T of them, each further chunk one that is new, anywhere; all other tokens ask
    for a key of an earlier chunk, drawn evenly from all that were shown. A token is continuous, float32 [T + K - 1 +
    8]: a one for its key, and one for its value where that is shown. What is in sight tells nothing of an answer: who
    sees the chunk alone answers questions right once in 8 times.

    Reported of the test split is ``answered``, the accuracy of answers to questions; the score counts what is shown
    too, and without a memory cannot be above ``shown + (1 - shown) / 8`` but by luck, with `shown` the share of tokens
    that show a value, (T + K - 1) / (K T).

    Parameters
    ----------
    options
        ``length`` is T, ``chunks`` is K.
    corpus
        None: the task reads no file.

    Raises
    ------
    ConfigError
        If an option cannot be met.

    Source: associative recall, as Graves, Wayne and Danihelka 2014, "Neural Turing machines", section 4.3, ask it.
    """
    refuse_path(options)
    refuse_kinds(options)
    T = length_between(options, LENGTH, 2, MOST, "a chunk asks for one key and shows another")
    K = chunks_between(options, CHUNKS, MOST)
    splits = {name: _streams(name, size, T, K) for name, size in SIZES.items()}
    return Task(
        name="recall",
        kind="token",
        train=capped(splits["train"], options.examples),
        probe=splits["probe"],
        validation=splits["validation"],
        test=splits["test"],
        tokens="continuous",
        features=T + K - 1 + VALUES,
        outputs=VALUES,
        positions=np.arange(T * K, dtype=np.float64)[:, None],
        causal=True,
        metrics=answered,
        chunk=T,
        truncation=options.truncation,
    )


def asks(inputs: np.ndarray) -> np.ndarray:
    """Return which tokens ask, bool [N, S]: those that show no value."""
    return np.logical_not(inputs[..., -VALUES:].any(-1))


def answered(outputs: np.ndarray, split: Split) -> dict[str, float]:
    """Return the accuracy of the answers to questions."""
    right = outputs.argmax(-1) == split.targets
    return {"answered": float(right[asks(split.inputs)].mean())}


def _streams(name: str, size: int, T: int, K: int) -> Split:
    stream = generator(0, 0, f"task:recall:{name}")
    keys = T + K - 1
    order = stream.permuted(np.tile(np.arange(keys), (size, 1)), axis=1)  # of being shown
    values = stream.integers(0, VALUES, (size, keys))
    known = T + np.arange(K - 1)[:, None]  # keys that were shown before each further chunk
    places = np.floor(stream.random((size, K - 1, T)) * known).astype(np.int64)  # in that order
    new = stream.integers(0, T, (size, K - 1, 1))
    np.put_along_axis(places, new, np.broadcast_to(known, new.shape), axis=2)
    first = np.broadcast_to(np.arange(T), (size, 1, T))
    shown = np.zeros((size, K, T), dtype=bool)
    shown[:, 0] = True
    np.put_along_axis(shown[:, 1:], new, True, axis=2)
    key = np.take_along_axis(order, np.concatenate([first, places], 1).reshape(size, -1), axis=1)
    target = np.take_along_axis(values, key, axis=1)
    value = np.eye(VALUES, dtype=np.float32)[target] * shown.reshape(size, -1, 1)
    return Split(np.concatenate([np.eye(keys, dtype=np.float32)[key], value], -1), target)
