"""Hunger: how little an organism has improved lately."""

import math
from collections.abc import Sequence


def hunger(validation_losses: Sequence[float], window: int = 5) -> float:
    """Return how little an organism has improved lately: 0 for a lot, 1 for not at all.

    ``h = clip(1 - (before - now) / before, 0, 1)``: 1 without improvement, 0 when the loss is gone.

    Parameters
    ----------
    validation_losses
        Validation loss after each round so far, oldest first, in nats per example.
    window
        Over how many rounds, 1 or more. With fewer rounds lived, all of them count.

    Returns
    -------
    A number in [0, 1]; 1 (explore) while there are fewer than two losses, or where one of the two
    compared is not finite or there was no loss left to lower.

    Raises
    ------
    ValueError
        If `window` is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be 1 round or more, got {window}")
    if len(validation_losses) < 2:
        return 1.0
    before, now = validation_losses[-window - 1 :][0], validation_losses[-1]
    if not (0 < before < math.inf and math.isfinite(now)):
        return 1.0
    return min(max(1.0 - (before - now) / before, 0.0), 1.0)
