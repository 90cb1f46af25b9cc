"""The ruler of an evolution: ranges of the measures and the reference of objectives, found once."""

import math
from collections.abc import Sequence

import numpy as np

from organisms.pseudopods.evolution.constants import Sizes, cost
from organisms.pseudopods.evolution.observed import MEASURES
from qd.fitness import Yardstick
from qd.measures import FEWEST_VALUES, QUANTILES, ranges_from_samples
from qd.records import Record

ALIKE = 1e-9  # share of a measure's size that is no difference


def yardstick(
    records: Sequence[Record], samples: Sequence[tuple[float, ...]], tokens: int, sizes: Sizes
) -> Yardstick | None:
    """Return what makes objectives and behaviours of measurements; None while too little is known.

    Parameters
    ----------
    records
        Of the round that ends the warm-up, whose worths and gradients are the reference.
    samples
        Raw measures of the rounds so far, for the ranges.
    tokens
        Of a sequence.
    sizes
        Of the encoder.
    """
    worths = [max(record.assay, 0.0) for record in records]
    if len(samples) < FEWEST_VALUES or not any(worths):
        return None
    least, most = (
        cost((("rank", float(rank)), ("width", float(width))), tokens, sizes.width)
        for rank, width in ((1, 1), (sizes.max_rank, sizes.max_width))
    )
    known = _alike(samples)
    low, high = (math.log2(flops / traffic) for flops, traffic in (least, most))
    if low < high:
        known["compute_intensity"] = (low, high)
    return Yardstick(
        ranges_from_samples(samples, known, MEASURES),
        float(np.quantile(worths, 0.99)),
        most[0],
        tuple(sorted(record.gradient for record in records)),
    )


def _alike(samples: Sequence[tuple[float, ...]]) -> dict[str, tuple[float, float]]:
    """Return a range of one unit for each measure of which all samples are alike."""
    known = {}
    for name, column in zip(MEASURES, np.array(samples).T, strict=True):
        low, high = np.quantile(column, QUANTILES).tolist()
        if high - low <= ALIKE * max(1.0, abs(high)):
            known[name] = (low - 0.5, low + 0.5)
    return known
