"""The softmax by which what attracts more is drawn more often."""

import math

import numpy as np
from jaxtyping import Float64

from qd.elementary import exp_each


def softmax(pull: Float64[np.ndarray, " n"], tau: float) -> Float64[np.ndarray, " n"]:
    """Return probabilities ``p ~ exp(pull / tau)``; all 0 where every pull is minus infinity.

    Parameters
    ----------
    pull
        Attractions; minus infinity where there is none.
    tau
        In units of them, above 0; a small one nearly always takes the largest.

    Raises
    ------
    ValueError
        If tau is not finite and above 0.
    """
    if not 0 < tau < math.inf:
        raise ValueError(f"tau must be finite and above 0, got {tau}; a small one is nearly greedy")
    highest = pull.max(initial=-math.inf)
    if highest == -math.inf:
        return np.zeros(len(pull))
    weights = exp_each((pull - highest) / tau)
    return weights / weights.sum()
