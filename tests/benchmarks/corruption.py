"""How many flipped bytes of a run `plasmodia verify` finds.

A small run is made and stopped half-way, another one finished. In both, every k-th byte of one file of every
kind is flipped, one at a time, and each time `verify` must name that file and no other. The kinds of an
unfinished run are the blobs; which rows of its journal are covered is tested in `tests/runs/faults/test_corruption.py`.

    PYTHONPATH=. python tests/benchmarks/corruption.py [K]
"""

import sys
import tempfile
import time
from pathlib import Path

from runs.machine.settings import prepare

EVERY = 37


def runs_in(folder: Path) -> dict[str, Path]:
    from tests.faults.killed_drivers import killed, launch_and_die
    from tests.fixtures.small_runs import launched

    killed(launch_and_die, folder / "unfinished", 3)
    return {"finished": launched(folder / "finished"), "unfinished": folder / "unfinished"}


def measure(name: str, run: Path, every: int) -> tuple[int, int]:
    from tests.faults.flips import one_of_every_kind, tally

    tried = found = 0
    for kind, file in one_of_every_kind(run).items():
        if name == "unfinished" and not file.startswith("blobs/"):
            continue
        one = tally(run, file, every)
        print(f"{name:<10}  {kind:<12} {one.tried:>10,} flipped {one.found:>10,} found")
        tried, found = tried + one.tried, found + one.found
    return tried, found


def main() -> None:
    prepare()
    from archive_store.verification import verify

    every = int(sys.argv[1]) if len(sys.argv) > 1 else EVERY
    with tempfile.TemporaryDirectory() as folder:
        runs = runs_in(Path(folder))
        for run in runs.values():
            assert verify(run).problems == (), "the run is damaged before anything was flipped"
        start = time.perf_counter()
        counts = [measure(name, run, every) for name, run in runs.items()]
        seconds = time.perf_counter() - start
    tried, found = (sum(column) for column in zip(*counts, strict=True))
    print(f"every {every}th byte: {tried:,} flipped, {found:,} found, in {seconds:.0f} s")
    assert found == tried, f"{tried - found} flips were not found, or another file was named"


if __name__ == "__main__":
    main()
