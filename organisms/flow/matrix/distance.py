"""What distance costs: which positions a token may choose from, and what a far one loses of its score.

Shape suffixes: B examples, C channels, Q tokens that receive, S tokens that send.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def visible(
    receivers: Int64[Tensor, " Q"], senders: Int64[Tensor, " S"], window: int | None, causal: bool
) -> Bool[Tensor, "Q S"]:
    """Return which receiver may choose which sender: one that is nearer than the window, and not later if causal.

    Parameters
    ----------
    receivers, senders
        Positions, [Q] and [S].
    window
        W: a sender is seen at a distance under it; None: at any.
    causal
        Whether later senders are hidden.
    """
    ahead_QS = receivers[:, None] - senders
    seen_QS = ahead_QS >= 0 if causal else torch.ones_like(ahead_QS, dtype=torch.bool)
    return seen_QS if window is None else seen_QS & (ahead_QS.abs() < window)


def distance_cost(
    distance: Float[Tensor, "*#batch S"],
    decay: Float[Tensor, "*#batch 1"],
    reach: Float[Tensor, "*#batch 1"] | None,
) -> Float[Tensor, "*batch S"]:
    """Return what a sender loses of its score: decay log(1 + distance), and the tokens that it is out of reach by.

    A weight falls as a power of the distance, so that one decay serves all lengths; beyond the reach it falls
    exponentially.

    Parameters
    ----------
    distance
        From receiver to sender, in tokens.
    decay
        Of each receiver, not negative.
    reach
        Of each receiver, in tokens; None: there is no limit.
    """
    cost = decay * distance.log1p()
    return cost if reach is None else cost + (distance - reach).relu()
