"""Moves of a run to another environment: refused, or accepted and marked in all digests from then on.

A run's bits depend on its fingerprint. Where a move is accepted, the first round after it begins with an event
``environment`` that holds the new fingerprint and what is different, so that the digests from then on differ from those
of a run that stayed where it was.
"""

from collections.abc import Mapping
from typing import Any

from archive_store.journal.journal import ENVIRONMENT, Journal
from archive_store.journal.values import checked
from archive_store.run_directory import RunDirectory
from qd.canonical import plain
from runs.errors import RunError
from runs.machine import fingerprint


def moved_to(
    directory: RunDirectory, journal: Journal, here: Mapping[str, Any], accept: bool = False
) -> Mapping[str, Any] | None:
    """Compare this machine's fingerprint with the one under which the run's last round was made.

    Parameters
    ----------
    directory, journal
        Of the run.
    here
        Fingerprint of this machine.
    accept
        Whether another fingerprint is accepted.

    Returns
    -------
    The value of the event that has to begin the next round; None where nothing is different.

    Raises
    ------
    RunError
        If the fingerprints differ and that is not accepted: with the differences.
    """
    here = plain(here)
    different = fingerprint.differences(_last(directory, journal), here)
    if not different:
        return None
    if not accept:
        raise RunError(
            f"{directory.path} was made in another environment ({'; '.join(different)}); its bits cannot be "
            "continued here; add --accept-environment to go on all the same, with marked digests"
        )
    return {"differences": list(different), "fingerprint": here}


def check_unmoved(directory: RunDirectory, journal: Journal, here: Mapping[str, Any], until: int) -> None:
    """Refuse to make rounds again that this machine would make otherwise.

    Parameters
    ----------
    directory, journal
        Of the run.
    here
        Fingerprint of this machine.
    until
        Last round that is to be made again.

    Raises
    ------
    RunError
        If a round up to `until` was made in another environment than the launch: names the first one. Or if
        this machine's is another: with the differences.
    """
    for round in journal.moves():
        if round <= until:
            raise RunError(
                f"{directory.path} moved to another environment before round {round}; only the rounds before "
                f"can be made again: --until {round - 1}"
            )
    different = fingerprint.differences(_launched(directory), plain(here))
    if different:
        raise RunError(
            f"{directory.path} was made in another environment ({'; '.join(different)}); its bits cannot be "
            "made again here, its decisions can: --decisions"
        )


def last_move(journal: Journal) -> int:
    """Return the first round that was made in the run's present environment."""
    return max(journal.moves(), default=1)


def _last(directory: RunDirectory, journal: Journal) -> Mapping[str, Any]:
    accepted = [checked(event)["fingerprint"] for event in journal.events(kind=ENVIRONMENT)]
    return accepted[-1] if accepted else _launched(directory)


def _launched(directory: RunDirectory) -> Mapping[str, Any]:
    made = directory.environment().get("fingerprint")
    if not isinstance(made, dict):
        raise RunError(f"{directory.environment_path} holds no fingerprint; restore it from a copy")
    return made
