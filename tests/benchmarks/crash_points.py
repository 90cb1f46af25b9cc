"""After how many faults a run in miniature was resumed to the same end, and how each of them ended first.

A process is stopped at every operation of a launch and of a resume; the disk is full or fails there, once, from
then on, or after the operation was done; and after every write of the store and of SQLite the power is cut, with
several draws of what it leaves. A fault that is not survived ends the script.

    PYTHONPATH=. python tests/benchmarks/crash_points.py
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from runs.machine.settings import prepare


@contextmanager
def told(what: str, survived: Counter[str]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what:<44} {survived.total():>6,} survived in {time.perf_counter() - start:.0f} s")
    for how, count in survived.most_common():
        print(f"    {how:<40} {count:>6,}")


def main() -> None:
    prepare()
    from tests.faults.crashes import (
        Scenario,
        crashed,
        cut_off,
        faults,
        forks,
        go_on,
        memory,
        recovers,
        refused,
    )
    from tests.fixtures.miniature import launch, miniature, outcome

    with memory() as place, forks() as fork:
        for name in ("whole", "half", "x"):
            (place / name).mkdir()
        folder = place / "x" / "run"
        launch(place / "whole" / "run", miniature())
        wanted = outcome(place / "whole" / "run")
        half = cut_off(place / "half" / "run", 3, fork)
        scenarios = {"launch": Scenario(go_on), "resume": Scenario(go_on, half)}
        for name, scenario in scenarios.items():
            operations = scenario.operations(folder)
            survived: Counter[str] = Counter()
            with told(f"operations of a {name} to stop at", survived):
                for at in range(1, len(operations) + 1):
                    crashed(scenario, folder, at, fork)
                    survived["launched again" if not folder.exists() else "resumed"] += 1
                    recovers(folder, wanted)
        for name, scenario in scenarios.items():
            survived = Counter()
            with told(f"full or failing disks in a {name}", survived):
                for fault in faults(scenario.operations(folder)):
                    sentence = refused(scenario, folder, *fault)
                    survived[sentence.partition(": ")[2]] += 1
                    recovers(folder, wanted)
        lose_writes(folder, wanted)


def lose_writes(folder: Path, wanted: dict[str, object]) -> None:
    from archive_store import durable
    from tests.faults.crashes import memory
    from tests.faults.lost_writes import Cut, cuts, launched, resumed, survives
    from tests.faults.power_cuts import Promise, Sync

    def survive(cut: Cut, survived: Counter[str]) -> None:
        survives(cut, folder, wanted)
        survived[f"names {cut.shares[0]:.0%}, sectors {cut.shares[1]:.0%} left"] += 1

    with memory() as place:
        log = launched(place / "run")
    with memory() as place, mock.patch.object(durable, "on_network", return_value=True):
        rollback = launched(place / "run")
    for name, each, network in (("WAL", log, False), ("a rollback journal", rollback, True)):
        survived: Counter[str] = Counter()
        with (
            told(f"power cuts with {name}", survived),
            mock.patch.object(durable, "on_network", return_value=network),
        ):
            for cut in cuts(each):
                survive(cut, survived)
    survived = Counter()
    with told("power cuts after a stop and a resume", survived):
        begun = next(point for point, done in enumerate(log.operations) if isinstance(done, Promise))
        for stopped, done in enumerate(log.operations):
            if stopped > begun and isinstance(done, Sync):
                again = resumed(folder, log, stopped)
                for point, later in enumerate(again.operations, 1):
                    if point > stopped and isinstance(later, Promise):
                        survive(Cut(again, point, (0.0, 0.0)), survived)


if __name__ == "__main__":
    main()
