"""Runs that exist, put together to arms: by what differs in their configurations, or each by itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_store.journal.segments import segments
from archive_store.run_directory import RunDirectory
from runs.calibration.stored import journaled
from runs.errors import ConfigError
from runs.experiments.description import flat
from runs.experiments.plan import OTHER_OBJECTIVES
from runs.experiments.reading import score_of
from runs.experiments.report import Report
from runs.experiments.results import results_of

IGNORED = ("seed", "name", "calibration.from", "archive.rescore_every")  # no part of an arm
_RULER = (
    "interface",
    "hosts",
    "ranges",
    "reference",
    "gradients",
    "centroids",
)  # of the event of calibration
LONGEST = 40  # characters of settings that name an arm


@dataclass(frozen=True, slots=True)
class Known:
    """A finished run: its settings by key path, its seed, its data, and what it was measured with."""

    path: Path
    settings: Mapping[str, Any]
    seed: int
    data: Any
    ruler: Any


def compared_runs(paths: Sequence[Path], each: bool = False) -> Report:
    """Return a report on runs, the first of which is of the arm that the others are compared with.

    Parameters
    ----------
    paths
        Their directories.
    each
        Whether each run is an arm by itself; else those of equal settings are, which differ in their seeds.

    Raises
    ------
    ConfigError
        If there are fewer than two, one is given twice, or they are not of the same data.
    RunError, StoreError
        If one is not finished, is damaged or of another format.
    """
    runs = [_known(path) for path in paths]
    if len(runs) < 2:
        raise ConfigError("a comparison needs two runs at least")
    other = next((run for run in runs if run.data != runs[0].data), None)
    if other is not None:
        raise ConfigError(
            f"{other.path} and {runs[0].path} cannot be compared: their tasks hold other data "
            f"({other.settings['task.name']}, {runs[0].settings['task.name']})"
        )
    differing = [key for key in _keys(runs) if len({_text(run, key) for run in runs}) > 1]
    arms = _each(runs) if each else _grouped(runs, differing)
    return Report(
        f"{len(runs)} runs",
        {
            name: {key: own[0].settings.get(key, "its default") for key in differing}
            for name, own in arms.items()
        },
        next(iter(arms)),
        score_of(runs[0].path),
        results_of({name: {run.seed: run.path for run in own} for name, own in arms.items()}),
        (
            *_notes(arms),
            *((OTHER_OBJECTIVES,) if any(key.startswith("objective.") for key in differing) else ()),
        ),
    )


def _known(path: Path) -> Known:
    directory = RunDirectory.open(path)
    if not directory.finished():
        raise ConfigError(f"{path} is not finished; go on with it by plasmodia resume, or leave it out")
    with directory.journal() as journal:
        base, event = journaled(directory, journal)
        *earlier, last = segments(journal)
    config = last.settings
    settings = {key: value for key, value in flat(dict(config)).items() if key not in IGNORED}
    if earlier:  # it did not begin with these
        settings["since round"] = last.since
    return Known(path, settings, config["seed"], base["data"], {key: event[key] for key in _RULER})


def _keys(runs: Sequence[Known]) -> list[str]:
    return list(dict.fromkeys(key for run in runs for key in run.settings))


def _each(runs: Sequence[Known]) -> dict[str, list[Known]]:
    arms = {str(run.path): [run] for run in runs}
    if len(arms) < len(runs):
        raise ConfigError("a run is given twice; leave one of them out")
    return arms


def _grouped(runs: Sequence[Known], differing: Sequence[str]) -> dict[str, list[Known]]:
    groups: dict[tuple[str | None, ...], list[Known]] = {}
    for run in runs:
        own = groups.setdefault(tuple(_text(run, key) for key in differing), [])
        twin = next((known for known in own if known.seed == run.seed), None)
        if twin is not None:
            raise ConfigError(
                f"{run.path} and {twin.path} are of the same settings and seed; leave one of them out, or take each "
                "run for an arm by --each"
            )
        own.append(run)
    texts = [
        ", ".join(_setting(key, value) for key, value in zip(differing, group, strict=True))
        for group in groups
    ]
    short = all(len(text) <= LONGEST for text in texts)
    names = (
        [text or "all" for text in texts] if short else [f"arm {place}" for place in range(1, len(texts) + 1)]
    )
    return dict(zip(names, groups.values(), strict=True))


def _text(run: Known, key: str) -> str | None:
    """Return a setting as JSON; None where it came later and has its default."""
    return json.dumps(run.settings[key]) if key in run.settings else None


def _setting(key: str, value: str | None) -> str:
    return f"{key} by default" if value is None else f"{key}={json.loads(value)}"


def _notes(arms: Mapping[str, Sequence[Known]]) -> list[str]:
    """Return sentences on which seeds were measured with different rulers."""
    seeds: dict[int, list[Any]] = {}
    for own in arms.values():
        for run in own:
            rulers = seeds.setdefault(run.seed, [])
            if run.ruler not in rulers:
                rulers.append(run.ruler)
    apart = [f"{seed}" for seed, rulers in sorted(seeds.items()) if len(rulers) > 1]
    found = []
    if apart:
        found.append(
            f"the runs of seed {', '.join(apart[:10])} have different calibrations, so that their coverage, QD scores "
            "and objectives are measured with different rulers; calibration.from shares one"
        )
    if len(arms) > 1 and all(len(rulers) == 1 and _alone(seed, arms) for seed, rulers in seeds.items()):
        found.append("no seed is in two arms, so that no differences of pairs can be taken")
    return found


def _alone(seed: int, arms: Mapping[str, Sequence[Known]]) -> bool:
    return sum(run.seed == seed for own in arms.values() for run in own) < 2
