"""The best network of a run, built again on the CPU from the run's folder."""

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from archive_store.frames import best_organism
from archive_store.journal.journal import State
from archive_store.reading import Run
from runs.config.schema import Config, plain
from runs.errors import RunError

if TYPE_CHECKING:
    from organisms.species import Organism
    from runs.training.world import World


def newest(run: Run) -> State | None:
    """Return the state of the best organism among the newest that are kept; None where none with a score is."""
    with run.directory.journal() as journal:
        states = {(state.organism, state.round): state for state in journal.states()}
    census = run.census()
    kept = census[[place in states for place in zip(census["organism"], census["round"], strict=True)]]
    organism = best_organism(kept)
    return None if organism is None else states[organism, kept["round"].max()]


def world_of(run: Run, config: Config, exact: bool = True) -> "World":
    """Return the world of a run, with its interface and without hosts; code of the user's own is imported.

    Parameters
    ----------
    run, config
        The run and its configuration.
    exact
        Whether arithmetic must be that of the run; where not, torch may be there already with settings of the user's.

    Raises
    ------
    RunError
        If the run's data or settings are not what they were, or what it keeps is of another version.
    StoreError
        If its files are damaged.
    """
    from runs.machine import settings

    with nullcontext() if exact else suppress(RunError):
        settings.prepare()  # before torch is imported
    from runs import tasks
    from runs.calibration.stored import calibrated
    from runs.config.reader import changed
    from runs.training.build import build
    from runs.training.world import WorldSpec

    here = changed(config, {"device": "cpu"})
    corpus = tasks.corpus(here.task)
    with run.directory.journal() as journal:
        event = calibrated(run.directory, journal, here, tasks.load(here.task, corpus).digest)
    return build(WorldSpec(plain(here), corpus, interface=run.directory.blobs.get(event["interface"])))


def organism_of(run: Run, world: "World", state: State) -> "Organism":
    """Return the network that a state of a run holds.

    Parameters
    ----------
    run
        Keeps the state.
    world
        Of the run.
    state
        Which one.
    """
    from runs.training.state import decode_state

    return decode_state(world, run.directory.blobs.get(state.digest)).organism
