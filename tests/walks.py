"""A task of the user's: random walks in space, to be forecast, of one kind; it reports the error of positions."""

import numpy as np

from organisms.task import Split, Task


def walks(options, corpus):
    walked = np.random.default_rng(0).normal(size=(4, 48, 7, 3)).cumsum(axis=2).astype(np.float32)
    splits = [Split(walk[:, :-1].copy(), walk[:, 1:].copy()) for walk in walked]
    return Task(
        "walks",
        "sequence",
        *splits,
        tokens="continuous",
        features=3,
        outputs=3,
        positions=np.arange(6.0)[:, None],
        causal=True,
        metrics=position_error,
    )


def position_error(outputs, split):
    squares = np.square(outputs.astype(np.float64) - split.targets)
    return {"position_error": float(np.sqrt(squares.sum(axis=-1)).mean())}
