"""A run's measures beside measures that mean nothing, on one calibration: `plasmodia validate --random-measures`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from organisms.residual.effects import PROJECTION
from qd.centroids import halton_cvt
from qd.measures import ranges_from_samples
from qd.validity.choice import MeasureSet, ranked
from qd.validity.reliability import split_half
from runs.calibration.survey import measurements
from runs.config.schema import Config
from runs.errors import ConfigError, RunError
from runs.training.calibration_jobs import Sampled

SETS = 20  # of random measures


@dataclass(frozen=True, slots=True)
class Spanned:
    """A set of measures, and how many of the archive's cells calibration's samples lie in when it spans the space."""

    measures: MeasureSet
    cells: int


@dataclass(frozen=True, slots=True)
class Control:
    """The run's measures, and as many sets of random ones of the same size."""

    chosen: Spanned
    random: tuple[Spanned, ...]
    archive_cells: int


def controls(config: Config) -> tuple[str, ...]:
    """Return the names of random measures: `SETS` sets of as many as the run has.

    Raises
    ------
    ConfigError
        If the run has fewer than three measures, of which there is no KMO.
    """
    size = len(config.measures)
    if size < 3:
        raise ConfigError(
            f"--random-measures compares sets of three or more measures, and the run has {size}"
        )
    return tuple(f"{PROJECTION}{number}" for number in range(SETS * size))


def controlled(config: Config, names: Sequence[str], sampled: Sequence[Sampled]) -> Control:
    """Compare the run's measures with random ones, on what calibration measured.

    Parameters
    ----------
    config
        Names the run's measures and the number of cells.
    names
        Of the m measures that were taken: the run's, then those of `controls`.
    sampled
        Every calibration organism, with raw measures [n, m] at its checkpoints.

    Raises
    ------
    RunError
        If a set cannot be compared, as where a measure is constant.
    """
    rows, even, odd = measurements(sampled)
    size = len(config.measures)
    centroids = halton_cvt(config.archive.cells, size, config.seed)
    sets = []
    for start in range(0, len(names), size):
        place = slice(start, start + size)
        own = names[place]
        try:
            behaviours, _ = ranges_from_samples(rows[:, place], {}, own).behaviours(rows[:, place])
            found = ranked(rows[:, place], split_half(even[:, place], odd[:, place]), own, size)
        except ValueError as error:
            raise RunError(f"measures {', '.join(own)} cannot be compared: {error}") from error
        if not found:
            raise RunError(f"measures {', '.join(own)} cannot be compared: they follow from one another")
        sets.append(Spanned(found[0], len(np.unique(KDTree(centroids).query(behaviours)[1]))))
    return Control(sets[0], tuple(sets[1:]), config.archive.cells)


def table(control: Control) -> str:
    """Return the run's measures, the mean of the random sets, and how many of these are less sound."""
    kinds = [("chosen", [control.chosen]), (f"random, mean of {len(control.random)} sets", control.random)]
    lines = [f"{'':<26}   KMO  reliability  independent  largest |r|  cells of {control.archive_cells}"]
    for label, sets in kinds:
        kmo, reliability, dimension, correlation, cells = np.mean([_figures(each) for each in sets], axis=0)
        lines.append(
            f"{label:<26}  {kmo:.2f}         {reliability:.2f}         {dimension:.2f}         {correlation:.2f}"
            f"  {cells:11.0f}"
        )
    margin = control.chosen.measures.margin
    worse = sum(each.measures.margin < margin for each in control.random)
    lines.append(
        f"the chosen measures keep further within the limits of a sound space than {worse} of "
        f"{len(control.random)} random sets"
    )
    return "\n".join(lines)


def _figures(spanned: Spanned) -> tuple[float, ...]:
    each = spanned.measures
    return (each.kmo, each.reliability, each.effective_dimension, each.largest_correlation, spanned.cells)
