"""What distance costs: what a far position loses of its score."""

from jaxtyping import Float
from torch import Tensor


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
