"""Audits: a share of the orders is done again by another worker, and a second answer is held against the first."""

from qd.canonical import canonical
from qd.records import Census
from qd.seeding import happens, uniform
from runs.config.schema import Config
from runs.errors import RunError
from runs.rounds.differences import difference_of
from runs.workers.dispatch import Dispatcher, Priority
from runs.workers.jobs import AUDIT, Done, Job


class Audits:
    """Sends orders a second time, and refuses a census that is not the one that is known.

    Parameters
    ----------
    config
        Of the run.
    since
        First round that was made in this environment, or will be: earlier ones may come out otherwise here.
    dispatcher
        Sends orders to trainers.
    """

    def __init__(self, config: Config, since: int, dispatcher: Dispatcher) -> None:
        self._seed = config.seed
        self._share = config.execution.audit
        self._measures = config.measures
        self._since = since
        self._dispatcher = dispatcher
        self._under_way: set[tuple[int, int]] = set()  # round and organism

    def drawn(self, round: int, what: str) -> bool:
        """Return whether an order is audited, by a named draw: that of an organism, or of a chunk."""
        return happens(self._share, uniform(self._seed, round, f"{AUDIT}:{what}"))

    def follow(self, done: Done, priority: Priority) -> None:
        """Have an organism's order done again by another worker, if it is drawn."""
        round, organism = done.job.round, done.job.organism
        if round >= self._since and self.drawn(round, str(organism)):
            self._under_way.add((round, organism))
            again = Job(AUDIT, round, organism, done.job.arguments)
            self._dispatcher.submit(again, priority, avoid=done.worker)

    def end(self, job: Job) -> None:
        """Wait no longer for an audit, which was answered, or lost: then it is not tried again."""
        self._under_way.discard((job.round, job.organism))

    def needs(self, round: int) -> bool:
        """Return whether an order of a round is being audited."""
        return any(of == round for of, _ in self._under_way)

    def compare(self, job: Job, census: Census, known: Census) -> None:
        """Hold a census that came once more against the one that is known.

        Parameters
        ----------
        job
            An audit, or what was done again because something was lost.
        census
            What came of it.
        known
            What came of the same order before.

        Raises
        ------
        RunError
            If they differ, and did not come from different environments.
        """
        if canonical(census) == canonical(known):
            return
        what, where = (
            f"round {census.round} of organism {census.organism}",
            difference_of(known, census, self._measures),
        )
        if job.name == AUDIT:
            raise RunError(
                f"{what} came out differently on a second worker: states {known.state} and {census.state}, "
                f"first in {where}; a task, family or measure gives different results for equal input"
            )
        if census.round >= self._since:
            raise RunError(
                f"{what} came out differently the second time: state {census.state}, in the journal "
                f"{known.state}, first in {where}; the machine or a user's module is not what it was"
            )
