"""Sets of measures that are sound on several seeds: `validate --measures` for each, and the worst of them counts.

Printed are the statistics of the preset's own set on each seed, and the sets whose least margin over the seeds is the
largest (`qd.validity.choice.MeasureSet.margin`). ``measures.py PRESET [SEEDS]``; a seed is one calibration.
"""

import sys
from collections.abc import Sequence

from runs.machine import settings

settings.prepare()

from qd.validity.choice import MeasureSet
from runs.calibration.survey import Survey
from runs.config.reader import load
from runs.launch import silent, surveyed
from runs.prepared import prepare
from runs.workers.start import pool_of

SHOWN = 8  # sets


def main() -> None:
    """Survey each seed, and print."""
    preset = sys.argv[1] if len(sys.argv) > 1 else "digits"
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    surveys = [survey_of(preset, seed) for seed in seeds]
    own = tuple(sorted(load(preset).measures))
    print(f"{preset}: its own set, {', '.join(own)}")
    for seed, survey in zip(seeds, surveys, strict=True):
        print(f"  seed {seed}  {said([each for each in survey.sets if tuple(sorted(each.names)) == own])}")
    print("sets by their least margin over the seeds")
    for margin, names in ranked(surveys)[:SHOWN]:
        print(f"  {margin:+.3f}  {', '.join(names)}")


def survey_of(preset: str, seed: int) -> Survey:
    """Calibrate with all measures on offer."""
    prepared = prepare(load(preset, [f"seed={seed}", "execution.executor=inline"]))
    with pool_of(prepared) as pool:
        return surveyed(prepared, pool, silent)


def ranked(surveys: Sequence[Survey]) -> list[tuple[float, tuple[str, ...]]]:
    """Return the sets that every seed can have, with their least margins, the largest first."""
    margins: dict[tuple[str, ...], list[float]] = {}
    for survey in surveys:
        for each in survey.sets:
            margins.setdefault(tuple(sorted(each.names)), []).append(each.margin)
    return sorted(
        ((min(found), names) for names, found in margins.items() if len(found) == len(surveys)), reverse=True
    )


def said(found: Sequence[MeasureSet]) -> str:
    """Return the statistics of a set."""
    if not found:
        return "its correlations are singular, or one of them does not vary"
    (each,) = found
    return (
        f"KMO {each.kmo:.2f}, reliability {each.reliability:.2f}, independent {each.effective_dimension:.2f}, "
        f"largest |r| {each.largest_correlation:.2f}, margin {each.margin:+.3f}"
    )


if __name__ == "__main__":
    main()
