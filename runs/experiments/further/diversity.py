"""How different the parts of networks are: how far apart in behaviour space, and how alike in what they write."""

from typing import TYPE_CHECKING

import numpy as np

from qd.measures import Ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

OF_PAIRS = {
    "correlation": "home_correlation",
    "coherence": "home_coherence",
}  # metrics, and columns of records


def diversity(records: "pd.DataFrame", measures: "Sequence[str]", ranges: Ranges) -> dict[str, float | None]:
    """Return the diversity of the living parts of a round: of those of each organism, and the mean of organisms.

    ``behaviour_variance`` is the mean over measures of the variance of the places in the unit cube (1/12 where parts
    lie evenly, 0 where all are alike), ``correlation`` the mean correlation of what two parts of a layer write and
    ``coherence`` the mean cosine of how much they write to each token; None where the run's family does not say it.

    Parameters
    ----------
    records
        Of one round, a row a part.
    measures
        Columns of the measures, in the order of the ranges.
    ranges
        Of the measures, as calibrated.
    """
    several = [own for _, own in records.groupby("organism") if len(own) > 1]
    if not several:
        return {}
    low, high = np.array(ranges.low), np.array(ranges.high)
    places = [
        np.clip((own[list(measures)].to_numpy(dtype=float) - low) / (high - low), 0, 1) for own in several
    ]
    found: dict[str, float | None] = {
        "behaviour_variance": float(np.mean([np.var(each, axis=0, ddof=1).mean() for each in places]))
    }
    for name, column in OF_PAIRS.items():
        means = [own[column].astype(float).mean() for own in several]
        found[name] = float(np.mean(means)) if np.isfinite(means).all() else None
    return found
