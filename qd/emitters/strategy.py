"""The points that an evolution strategy asks for: pyribs' CMA-ES, driven by a named stream and told what came of it."""

import math

import numpy as np
from jaxtyping import Float64

from qd.emitters.records import Campaign
from qd.seeding import generator

LEAST = 4  # children of a generation for which CMA-ES sets its rates


def points(
    campaign: Campaign, count: int, dimension: int, sigma: float, seed: int
) -> Float64[np.ndarray, "count dimension"]:
    """Return the points of a strategy's next generation: it starts at 0, and goes through all that it was told of.

    Parameters
    ----------
    campaign
        Names the strategy, and tells of its generations.
    count
        Points that are asked for.
    dimension
        Of the space of points; with none there is but one point.
    sigma
        Standard deviation of each coordinate in the first generation.
    seed
        Of the run.

    Source: pyribs (Tjanaka et al., GECCO 2023), after Hansen, "The CMA Evolution Strategy: A Tutorial", 2016; the
    better half of a generation are its parents.
    """
    if dimension == 0:
        return np.zeros((count, 0))
    from ribs.emitters.opt import CMAEvolutionStrategy  # seconds to import

    sizes = [*(len(improvements) for improvements in campaign.improvements), count]
    seeded = generator(seed, campaign.round, f"campaign:{campaign.chunk}").integers(2**63)
    strategy = CMAEvolutionStrategy(
        sigma0=sigma, solution_dim=dimension, batch_size=max(sizes[0], LEAST), seed=int(seeded)
    )
    strategy.reset(np.zeros(dimension))
    for improvements in campaign.improvements:
        strategy.ask(len(improvements))
        values = np.array([-math.inf if each is None else each for each in improvements])
        order = np.argsort(-values, kind="stable")
        strategy.tell(order, values[order], len(values) // 2)
    return np.array(strategy.ask(count))
