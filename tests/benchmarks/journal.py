"""What the journal and the checkpoints cost: the share of a digits run's wall time that goes into writing rounds.

The preset `digits` runs in this process (or with other overrides, given as arguments), and everything that
writes a round is timed: fetching, genomes, states, the journal's transaction and the removal of old states,
all of them synchronised with the disk. The run is checked first: its chain must hold and its manifest too.

    PYTHONPATH=. python tests/benchmarks/journal.py [key.path=value ...]
"""

import sys
import tempfile
import time
from pathlib import Path

from runs.machine.settings import prepare


def measure(folder: Path, overrides: list[str]) -> None:
    from archive_store.reading import open_run
    from runs.config.reader import load
    from runs.launch import launch
    from runs.results.summary import summarise
    from runs.rounds.commit import RoundWriter

    seconds: list[float] = []
    write = RoundWriter.write

    def timed(*arguments):
        started = time.perf_counter()
        lost = write(*arguments)
        seconds.append(time.perf_counter() - started)
        return lost

    RoundWriter.write = timed
    config = load("digits", ["execution.executor=inline", *overrides])
    run = open_run(launch(config, folder / "run"))
    with run.directory.journal() as journal:
        journal.verify_chain()
    run.directory.check_manifest()
    assert len(seconds) == config.rounds, "a round was not written in one go; no share is reported"
    wall = summarise(run.directory.path).wall_seconds
    print(f"rounds of {config.organism.count} organisms            {config.rounds:>8}")
    print(f"wall time, seconds                {wall:>8.1f}")
    print(f"writing rounds, seconds           {sum(seconds):>8.2f}")
    print(f"one round, milliseconds (median)  {sorted(seconds)[len(seconds) // 2] * 1e3:>8.1f}")
    print(f"share of the wall time            {sum(seconds) / wall:>8.2%} (aim: under 2 %)")


if __name__ == "__main__":
    prepare()
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), sys.argv[1:])
