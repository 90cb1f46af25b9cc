"""What measures there are and which sets of them are sound, on one calibration: `plasmodia validate --measures`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qd.measures import short_name
from qd.validity.choice import MeasureSet, ranked, usable
from qd.validity.reliability import split_half
from runs.config.schema import Config
from runs.errors import RunError
from runs.training.calibration_jobs import Sampled

SHOWN = 10  # sets


@dataclass(frozen=True, slots=True)
class Survey:
    """The measures that were looked at, and the sets of them, the soundest first."""

    reliability: tuple[tuple[str, float], ...]  # of each measure that varies
    left_out: tuple[str, ...]  # constant or not finite
    sets: tuple[MeasureSet, ...]


def surveyed(config: Config, names: Sequence[str], sampled: Sequence[Sampled]) -> Survey:
    """Rank sets of measures on what calibration measured; of as many measures as the configuration has, at least 3.

    Parameters
    ----------
    config
        Says how many measures a set has.
    names
        Of the m measures that were taken.
    sampled
        Every calibration organism, with raw measures [n, m] at its checkpoints.

    Raises
    ------
    RunError
        If too few of the measures vary.
    """
    rows, even, odd = measurements(sampled)
    kept = usable(rows, names)
    size = max(3, len(config.measures))
    if len(kept) < size:
        raise RunError(
            f"of {len(names)} measures only {len(kept)} vary, and a set has {size}; raise calibration.steps"
        )
    columns = [list(names).index(name) for name in kept]
    reliability = split_half(np.nan_to_num(even[:, columns]), np.nan_to_num(odd[:, columns]))
    return Survey(
        tuple(zip(kept, reliability.tolist(), strict=True)),
        tuple(name for name in names if name not in kept),
        ranked(rows[:, columns], reliability, kept, size),
    )


def measurements(sampled: Sequence[Sampled]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what was measured at the checkpoints [n, m], and of the same parts on each half of the examples."""
    rows = np.array([row for each in sampled for sample in each.samples for row in sample.measures])
    even, odd = (
        np.array([row for each in sampled for row in getattr(each, half)]) for half in ("even", "odd")
    )
    return rows, even, odd


def table(survey: Survey) -> str:
    """Return the best sets as a table, each with a line that can be copied into a configuration."""
    lines = ["reliability of what is on offer"]
    width = max(len(short_name(name)) for name, _ in survey.reliability)
    lines += [f"  {short_name(name):<{width}}  {value:.2f}" for name, value in survey.reliability]
    lines += [f"  {short_name(name):<{width}}  left out: it is constant here" for name in survey.left_out]
    sound = sum(each.margin >= 0 for each in survey.sets)
    lines += [
        f"{sound} of {len(survey.sets)} sets have KMO >= 0.6, reliability >= 0.7, independent measures >= 60 % and no "
        "|r| over 0.9; the soundest are",
        "    KMO  reliability  independent  largest |r|",
    ]
    for each in survey.sets[:SHOWN]:
        lines.append(
            f"   {each.kmo:.2f}         {each.reliability:.2f}         {each.effective_dimension:.2f}         "
            f"{each.largest_correlation:.2f}  measures: [{', '.join(each.names)}]"
        )
    return "\n".join(lines)
