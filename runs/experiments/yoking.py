"""Yoked arms: births and deaths at the times of another arm's run of the same seed, with material of their own.

An arm that says ``yoke: ARM`` follows, in each seed, the timetable of that arm's run: when, in which organism and how
many are born and die. What is born is made by its own rule, `births`, and happens whatever it gains in the trial; those
who die are the weakest by its own measurements. The turns become a part of the cell's configuration
(``lifecycle.timetable``), so that its run is journaled, resumed and replayed like any other, without the run that it is
yoked to.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive_store.journal.values import values
from archive_store.run_directory import RunDirectory
from qd.lifecycle.timetable import turns
from qd.records import Census, Decision
from runs.config.problems import nearest
from runs.errors import ConfigError

if TYPE_CHECKING:
    from runs.experiments.plan import Arm

YOKE = "yoke"  # the key of an arm that is none of a configuration
CHANGES = {"lifecycle.only_gains": False}  # of a yoked arm, before what it changes itself


def yoke_of(name: str, changes: Mapping[str, Any], arms: Mapping[str, Any]) -> str | None:
    """Return the arm that an arm is yoked to; None: to none.

    Parameters
    ----------
    name
        Of the arm.
    changes
        What it changes, by key path.
    arms
        What all arms change, by name.

    Raises
    ------
    ConfigError
        If there is no such arm, or it is the arm itself or yoked, too.
    """
    other = changes.get(YOKE)
    if other is None:
        return None
    if not isinstance(other, str) or other not in arms:
        near = nearest(str(other), list(arms)) or ";"
        raise ConfigError(
            f"arm {name} is yoked to {str(other)[:80]}, which is no arm{near} arms: {', '.join(arms)}"
        )
    if other == name or YOKE in (arms[other] or {}):
        raise ConfigError(
            f"arm {name} is yoked to {other}, which has no times of its own; name an arm that is not yoked"
        )
    return other


def check_times(arm: "Arm", other: "Arm") -> None:
    """Check that an arm can follow the timetable of another.

    Raises
    ------
    ConfigError
        If they differ in what a timetable is about.
    """
    pairs = {
        "rounds": [each.config.rounds for each in (arm, other)],
        "organism.count": [each.config.organism.count for each in (arm, other)],
        "organism.depth": [each.config.organism.depth for each in (arm, other)],
        "organism.capacity": [each.config.organism.capacity for each in (arm, other)],
        "organism.initial": [each.config.organism.initial for each in (arm, other)],
    }
    for key, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise ConfigError(
                f"arm {arm.name} is yoked to {other.name}, whose {key} is {theirs} and not {ours}; give both the same"
            )
    if arm.config.lifecycle.timetable is not None:
        raise ConfigError(
            f"arm {arm.name} is yoked to {other.name} and sets lifecycle.timetable, which follows from that; leave it "
            "out"
        )


def timetable_of(run: Path) -> list[dict[str, int]]:
    """Return the turns of a finished run, as ``lifecycle.timetable`` takes them.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    with RunDirectory.open(run).journal() as journal:
        orders = {
            (each.round, each.organism): each for each in values(journal.events(kind="decision"), Decision)
        }
        censuses = {
            (each.round, each.organism): each for each in values(journal.events(kind="census"), Census)
        }
    found = turns((order, censuses[key]) for key, order in orders.items())
    return [
        {"round": turn.round, "organism": turn.organism, "births": turn.births, "deaths": turn.deaths}
        for turn in found
    ]
