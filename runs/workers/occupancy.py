"""How long workers were idle, by the driver's clock."""

from collections.abc import Iterable
from dataclasses import dataclass

from runs.machine.clock import Clock


@dataclass(slots=True)
class _Account:
    since: float  # when the span that is counted began
    busy: float = 0.0  # seconds in it, of errands that have ended
    begun: float | None = None  # when the errand under way began


class Occupancy:
    """Keeps account of which worker has a job, and how long it had none.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def see(self, workers: Iterable[str]) -> None:
        """Begin to count for workers that are new."""
        for worker in workers:
            if worker not in self._accounts:
                self._accounts[worker] = _Account(self._clock())

    def begin(self, worker: str) -> None:
        """Note that a worker was sent a job."""
        self.see([worker])
        self._accounts[worker].begun = self._clock()

    def end(self, worker: str) -> None:
        """Note that a worker has answered, or was lost."""
        account = self._accounts.get(worker)
        if account is not None and account.begun is not None:
            account.busy += self._clock() - max(account.begun, account.since)
            account.begun = None

    def idle(self, workers: Iterable[str]) -> dict[str, float]:
        """Return the seconds that each of these workers was idle since this was last asked, or since it was first seen.

        Workers that are not among them are forgotten.
        """
        now, kept, found = self._clock(), {}, {}
        for worker in workers:
            account = self._accounts.get(worker) or _Account(now)
            busy = account.busy
            if account.begun is not None:
                busy += now - max(account.begun, account.since)
            found[worker] = max(0.0, now - account.since - busy)
            kept[worker] = _Account(now, begun=account.begun)
        self._accounts = kept
        return found
