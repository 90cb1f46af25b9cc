"""The configurations of a run that goes on under other settings, and which settings may be others then."""

from collections.abc import Mapping, Sequence
from typing import Any

from archive_store.journal.journal import Journal
from archive_store.journal.segments import SEGMENT, segments
from runs.config.reader import checked, overridden
from runs.config.schema import PATHS, Config, plain, scientific
from runs.errors import ConfigError, RunError
from runs.machine.fingerprint import differences
from runs.prepared import users_own

# What the calibration, the archive and the states of organisms hold fast.
FIXED = ("measures", "task", "organism", "calibration", "archive", "objective", "lag")


def configurations(journal: Journal, config: Config) -> list[tuple[int, Config]]:
    """Return first round and configuration of each segment of a run.

    Parameters
    ----------
    journal
        Of the run.
    config
        Its configuration now, that of the last segment: how and where it is executed is taken from it.

    Raises
    ------
    RunError
        If the journal holds settings that this version does not read.
    """
    *earlier, last = segments(journal)
    return [*((each.since, _read(each.settings, config)) for each in earlier), (last.since, config)]


def changed(config: Config, overrides: Sequence[str], rounds: int | None, at: int) -> Config:
    """Return the configuration with which a run goes on after a round.

    Parameters
    ----------
    config
        Of the run until now.
    overrides
        Texts ``key.path=value``.
    rounds
        Of the whole run, those before included; None: as they are.
    at
        The round after which it goes on.

    Raises
    ------
    ConfigError
        If a setting is none, has no such value, or cannot change in a run; or no round would be left.
    """
    after = overridden(config, overrides, {"rounds": rounds})
    before, now = scientific(config), scientific(after)
    fixed = [*differences(*({name: values.get(name) for name in FIXED} for values in (before, now)))]
    fixed += [] if users_own(config) == users_own(after) else ["the user's own code that it names"]
    if fixed:
        raise ConfigError(
            f"a run cannot go on with another {', '.join(FIXED[:-1])} or {FIXED[-1]} ({'; '.join(fixed)}); launch "
            "one of its own"
        )
    if after.rounds <= at:
        raise ConfigError(
            f"rounds must be more than the {at} that the run has by then, not {after.rounds}; give a larger number"
        )
    return after


def begins(before: Config, after: Config) -> tuple[str, dict[str, Any]]:
    """Return the event that begins the first round under other settings."""
    old, new = scientific(before), scientific(after)
    return (SEGMENT, {"differences": list(differences(old, new)), "config": new})


def _read(settings: Mapping[str, Any], config: Config) -> Config:
    """Read settings of a journal; paths and what digests do not cover are those of `config`."""
    now = plain(config)
    values = {**settings, "execution": now["execution"]}
    for section, key in PATHS:
        values[section] = {**values[section], key: now[section][key]}
    found, problems = checked(values)
    if found is None:
        raise RunError(f"the journal holds settings that this version does not read: {problems[0]}")
    return found
