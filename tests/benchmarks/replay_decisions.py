"""How many decisions a second `plasmodia replay --decisions` derives again.

A run of eight organisms is made with hardly any training, unless one is given. What is derived must equal
the journal; then the fastest of several passes counts. Reading the journal is told apart.

    PYTHONPATH=. python tests/benchmarks/replay_decisions.py [RUN]
"""

import sys
import tempfile
import time
from pathlib import Path

from runs.machine.settings import prepare

PASSES = 5
SIZES = (
    "rounds=40",
    "organism.count=8",
    "organism.dim=16",
    "organism.capacity=12",
    "organism.initial=8",
    "organism.pseudopods.max_rank=4",
    "organism.pseudopods.max_width=4",
    "training.steps_per_round=1",
    "calibration.steps=10",
    "archive.cells=256",
    "lifecycle.min_alive=4",
    "execution.executor=inline",
)


def run_in(folder: Path) -> Path:
    from runs.config.reader import load
    from runs.launch import launch

    start = time.perf_counter()
    run = launch(load("smoke", SIZES), folder / "run")
    print(f"made a run of 40 rounds of 8 organisms in {time.perf_counter() - start:.1f} s")
    return run


def measure(run: Path) -> None:
    from runs.replay import decisions

    passes, reading = [], []
    for _ in range(PASSES):
        start = time.perf_counter()
        count, seconds, difference = decisions(run)
        reading.append(time.perf_counter() - start - seconds)
        assert difference is None, f"{difference}; no speed is reported"
        passes.append(seconds)
    print(f"decisions derived                  {count:>10,}")
    print(f"seconds (fastest of {PASSES})             {min(passes):>10.3f}")
    print(f"decisions a second                 {count / min(passes):>10,.0f} (aim: 20,000)")
    print(f"reading the journal apart, seconds {min(reading):>10.3f}")


def main() -> None:
    prepare()
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(run_in(Path(folder)))


if __name__ == "__main__":
    main()
