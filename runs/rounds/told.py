"""What is told of a run when a round of it is closed, to whoever looks on: nothing that is decided depends on it."""

from runs.config.schema import Config
from runs.observability.measured import Standing
from runs.observability.progress import Progress
from runs.rounds.ledger import Closed, Ledger
from runs.workers.dispatch import Dispatcher


def progress_of(closed: Closed, ledger: Ledger, config: Config) -> Progress:
    """Return how far a run is.

    Parameters
    ----------
    closed
        The last round.
    ledger
        Counts births and deaths.
    config
        Of the run.
    """
    return Progress(
        stage="rounds",
        round=closed.round,
        rounds=config.rounds,
        coverage=closed.view.coverage,
        qd_score=closed.view.qd_score,
        temperature=closed.temperature,
        births=ledger.births,
        deaths=ledger.deaths,
        done=closed.round / config.rounds,
        score=closed.score,
        loss=closed.loss,
    )


def standing_of(closed: Closed, ledger: Ledger, config: Config, dispatcher: Dispatcher) -> Standing:
    """Return where a run stands.

    Parameters
    ----------
    closed
        The last round.
    ledger
        Knows its censuses, and counts births and deaths.
    config
        Of the run.
    dispatcher
        Knows who works, and what waits.
    """
    censuses = [ledger.census(organism, closed.round) for organism in ledger.organisms]
    return Standing(
        round=closed.round,
        rounds=config.rounds,
        coverage=closed.view.coverage,
        qd_score=closed.view.qd_score,
        elites=len(closed.view.elites),
        alive=sum(len(census.records) for census in censuses),
        organisms=len(censuses),
        births=ledger.births,
        deaths=ledger.deaths,
        temperature=closed.temperature,
        loss=closed.loss,
        score=closed.score,
        waiting=dispatcher.waiting,
        workers=len(dispatcher.pool.workers),
    )
