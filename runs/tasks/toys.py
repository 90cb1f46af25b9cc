"""Small generated tasks whose best answers are known: a sine, an exclusive or, a parity.

Their streams are named and start from seed 0, not from the run's: another seed changes the run and
never the data, so that runs with different seeds can be compared. Where the space of examples is
finite, no example is in two splits.
"""

from itertools import combinations

import numpy as np

from organisms.task import Split, Task
from qd.seeding import generator
from runs.tasks.options import Options, length_between, refuse_kinds, refuse_path
from runs.tasks.splits import capped, stratified

SINE_SIZES = {"train": 2400, "probe": 400, "validation": 400, "test": 800}
CHOICE_SIZES = (400, 400, 800)  # probe, validation, test of xor; 2400 are left for training
CHOICE_TOTAL = 4000
PARITY_MOST = 8192  # examples of parity, where that many patterns exist


def sine(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of continuing a sine by one value.

    ``x_t = sin(2 pi (f t + p))`` with f uniform in [1/50, 1/4] cycles a token and p uniform in [0, 1)
    cycles; the inputs are x_0 .. x_{S-1} (S = 16 by default), the target is x_S. The exact answer is
    ``2 cos(2 pi f) x_{S-1} - x_{S-2}``.

    Raises
    ------
    ConfigError
        If an option cannot be met.
    """
    refuse_path(options)
    refuse_kinds(options)
    length = length_between(options, 16, 3, 1024, "fewer than 3 samples leave the frequency open")
    splits = {name: _sines(name, size, length) for name, size in SINE_SIZES.items()}
    return Task(
        name="sine",
        kind="value",
        train=capped(splits["train"], options.examples),
        probe=splits["probe"],
        validation=splits["validation"],
        test=splits["test"],
        tokens="continuous",
        features=1,
        outputs=1,
        positions=_line(length),
    )


def _sines(name: str, size: int, length: int) -> Split:
    stream = generator(0, 0, f"task:sine:{name}")
    frequency = stream.uniform(1 / 50, 1 / 4, size=(size, 1))
    phase = stream.uniform(size=(size, 1))
    values = np.sin(2 * np.pi * (frequency * np.arange(length + 1) + phase)).astype(np.float32)
    return Split(values[:, :length, None].copy(), values[:, length:].copy())


def xor(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of finding the two marked tokens and giving the exclusive or of their bits.

    Each of S tokens (8 by default) has two features: its bit as -1 or 1, and 1 where it is marked, else
    0. Exactly two are marked. The 4000 examples are distinct, drawn from the ``2**S S (S - 1) / 2``
    that exist, and the splits have as many examples of class 0 as of class 1, except for training.

    Raises
    ------
    ConfigError
        If an option cannot be met.
    """
    refuse_path(options)
    refuse_kinds(options)
    length = length_between(options, 8, 8, 32, f"{CHOICE_TOTAL} different examples need 8 or more")
    pairs = np.array(list(combinations(range(length), 2)))
    stream = generator(0, 0, f"task:xor:{length}")
    chosen = stream.choice(2**length * len(pairs), size=CHOICE_TOTAL, replace=False)
    bits = _bits(chosen // len(pairs), length)
    marked = pairs[chosen % len(pairs)]
    first, second = (np.take_along_axis(bits, marked[:, i : i + 1], axis=1)[:, 0] for i in range(2))
    marks = np.zeros_like(bits)
    np.put_along_axis(marks, marked, 1, axis=1)
    inputs = np.stack([2 * bits - 1, marks], axis=-1)
    return _choice("xor", inputs, first ^ second, CHOICE_SIZES, stream, options)


def parity(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of saying whether a pattern of bits has an odd number of ones.

    Each of S tokens (10 by default) has one feature, its bit as -1 or 1. No pattern is in two splits:
    of the ``2**S`` that exist (at most 8192 of them are used) a tenth each is for probe and validation
    and a fifth for test, half of them odd. Six bits would leave 38 patterns for training, so at least
    8 are asked for.

    Raises
    ------
    ConfigError
        If an option cannot be met.
    """
    refuse_path(options)
    refuse_kinds(options)
    length = length_between(options, 10, 8, 32, "fewer bits give too few patterns for four disjoint splits")
    stream = generator(0, 0, f"task:parity:{length}")
    total = min(2**length, PARITY_MOST)
    bits = _bits(stream.choice(2**length, size=total, replace=False), length)
    tenth = 2 * (total // 20)  # even, so that the two classes can have equally many
    labels = bits.sum(axis=1) % 2
    return _choice("parity", (2 * bits - 1)[..., None], labels, (tenth, tenth, 2 * tenth), stream, options)


def _choice(
    name: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    held_out: tuple[int, int, int],
    stream: np.random.Generator,
    options: Options,
) -> Task:
    """Divide labelled sequences [N, S, F] with two classes into the four splits of a task."""
    probe, validation, test, train = stratified(labels, held_out, stream)

    def split(indices: np.ndarray) -> Split:
        return Split(inputs[indices].astype(np.float32), labels[indices].astype(np.int64))

    return Task(
        name=name,
        kind="class",
        train=capped(split(train), options.examples),
        probe=split(probe),
        validation=split(validation),
        test=split(test),
        tokens="continuous",
        features=inputs.shape[-1],
        outputs=2,
        positions=_line(inputs.shape[1]),
    )


def _bits(numbers: np.ndarray, length: int) -> np.ndarray:
    """Write non-negative integers [N] in binary, lowest bit first, int64 [N, length]."""
    return numbers[:, None] >> np.arange(length) & 1


def _line(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float64)[:, None]
