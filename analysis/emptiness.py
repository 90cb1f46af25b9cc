"""Why cells are empty: which of them a component ever came to, who did not compete, what lay beyond the ranges."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from analysis import style
from qd.fitness import COMPETES, REASONS
from qd.measures import Ranges


def visited(
    records: pd.DataFrame, centroids: np.ndarray, measures: Sequence[str], ranges: Ranges
) -> np.ndarray:
    """Return for each cell whether a living component was ever in it, whether or not it could compete, bool [cells].

    Parameters
    ----------
    records
        One row per living component and round; the measures are read, in their own units.
    centroids
        [cells, p] for p measures, in the unit cube; a component is in the cell of the nearest.
    measures
        Names of the p measures in order.
    ranges
        The calibrated ranges; what is beyond them counts as at their ends.
    """
    low, high = np.array(ranges.low), np.array(ranges.high)
    places = np.clip((records[list(measures)].to_numpy(dtype=np.float64) - low) / (high - low), 0.0, 1.0)
    found = np.zeros(len(centroids), dtype=bool)
    known = places[np.isfinite(places).all(axis=1)]
    if len(known):
        found[KDTree(centroids).query(known)[1]] = True
    return found


def reasons(
    rounds: pd.DataFrame, competitions: int, counts: Mapping[str, int], measures: Sequence[str]
) -> Iterator[str]:
    """Yield what keeps cells empty: who did not compete in the last round, and how much lay beyond the ranges.

    Parameters
    ----------
    rounds
        One row per round; ``out_of_range_<measure>`` of the last, which counts all competitions so far, is read.
    competitions
        How many there were so far.
    counts
        Components of the last round that compete and that do not, by reason (`qd.fitness.entrants`).
    measures
        Names of the run's measures.
    """
    total, competing = sum(counts.values()), counts[COMPETES]
    others = "".join(
        f", {counts[reason]} {reason} ({why})" for reason, why in REASONS.items() if counts.get(reason)
    )
    advice = "; plasmodia show says what to change" if competing < total / 2 else ""
    yield f"Of {total} components of the last round: {competing} compete{others}{advice}."
    if not competitions:
        return
    columns = {name: f"out_of_range_{name}" for name in measures}
    last = rounds.sort_values("round").iloc[-1]
    beyond = {
        name: last[column] / competitions for name, column in columns.items() if last.get(column, 0) > 0
    }
    ranked = sorted(beyond, key=lambda name: (-beyond[name], name))
    shares = ", ".join(
        f"{_percent(beyond[name])} in {style.plain(name, style.LONGEST_NAME)}" for name in ranked
    )
    yield f"Of {competitions} competitions so far, beyond the ranges: {shares or 'none'}."


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"
