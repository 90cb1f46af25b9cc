"""What the parts of a run's best network are alone, on average and together, and one dense network as large.

Scores of the test split. First the network together must score what the run itself reports of it. Without a run, a
small one of towers is made.

    PYTHONPATH=. python tests/benchmarks/emergence.py [RUN ...]
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from runs.machine import settings

settings.prepare()

from analysis.emergence import Emergence
from archive_store.reading import open_run
from runs.config.reader import load
from runs.launch import launch
from runs.results.emergence import emergence
from runs.results.summary import summarise


def checked(run: Path) -> Emergence:
    found, reported = emergence(open_run(run)), summarise(run)
    same = reported.best_accuracy is not None and abs(found.together - reported.best_accuracy) < 1e-6
    assert same, (
        f"{run} reports {reported.best_accuracy} and its network scores {found.together}; nothing is reported"
    )
    return found


def show(run: Path, found: Emergence) -> None:
    alone = sorted(found.alone.values())
    print(f"{run}: test {found.score_name} of organism {found.organism}, {len(alone)} parts")
    print(f"  a constant answer         {found.constant:.4f}")
    print(
        f"  each alone, from .. to    {alone[0]:.4f} .. {alone[-1]:.4f}, mean {sum(alone) / len(alone):.4f}"
    )
    print(f"  average of their outputs  {found.average:.4f}")
    print(f"  all together              {found.together:.4f}  ({found.parameters:,} parameters)")
    print(f"  one dense network         {found.dense:.4f}  ({found.dense_parameters:,} parameters)")


def main() -> None:
    runs = [Path(path) for path in sys.argv[1:]]
    with TemporaryDirectory() as folder:
        if not runs:
            config = load("smoke", ["organism.kind=towers", "execution.executor=inline"])
            runs = [launch(config, Path(folder) / "towers")]
        for run in runs:
            show(run, checked(run))


if __name__ == "__main__":
    main()
