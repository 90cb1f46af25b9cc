"""What an experiment asks of its finished runs beyond what they came to: measured, kept, and put beside that."""

from collections.abc import Collection

from runs.config.problems import nearest
from runs.errors import ConfigError
from runs.experiments.comparison import Results
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import degradation, placement, speed
from runs.experiments.plan import Plan
from runs.experiments.report import Study

KNOWN = ("degradation", "placement")  # beside the speed, which depends on the machine


def checked(asked: Collection[str]) -> tuple[str, ...]:
    """Return what is asked for, each once.

    Raises
    ------
    ConfigError
        If there is nothing of a name.
    """
    for name in asked:
        if name not in KNOWN:
            near = nearest(name, KNOWN) or ";"
            raise ConfigError(
                f"nothing is measured that is called {name[:80]}{near} known: {', '.join(KNOWN)}"
            )
    return tuple(dict.fromkeys(asked))


def measure(folder: ExperimentFolder, plan: Plan, asked: Collection[str]) -> None:
    """Measure what needs trained networks, and keep it; what is kept of the same runs is not measured again.

    Parameters
    ----------
    folder, plan
        The experiment, whose own code is imported.
    asked
        Of `KNOWN`.

    Raises
    ------
    RunError, StoreError
        If a run is damaged or of another version.
    """
    if "degradation" in asked:
        degradation.keep(folder, degradation.measured(folder, plan, degradation.kept(folder)))


def with_kept(results: Results, folder: ExperimentFolder, against: str) -> Results:
    """Return results with what was measured of the same runs: relative times, and how networks degrade.

    Parameters
    ----------
    results
        What the finished runs came to.
    folder
        Of the experiment.
    against
        The arm by whose time those of the others are divided.
    """
    found = speed.with_speed(results, speed.ratios(speed.kept(folder), against))
    degraded = degradation.kept(folder)
    return {
        arm: {
            seed: {**own, **degraded[arm][seed].metrics()} if seed in degraded.get(arm, {}) else own
            for seed, own in runs.items()
        }
        for arm, runs in found.items()
    }


def studies(folder: ExperimentFolder, plan: Plan, asked: Collection[str]) -> tuple[Study, ...]:
    """Return what is asked of each arm's runs by themselves, which their journals answer.

    Parameters
    ----------
    folder, plan
        The experiment.
    asked
        Of `KNOWN`.

    Raises
    ------
    RunError, StoreError
        If a run is damaged or of an older version.
    """
    return placement.studies(folder, plan) if "placement" in asked else ()
