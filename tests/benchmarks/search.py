"""What emitters bring to the archive: runs with them against runs without, seed by seed, out of an experiment's folder.

Any base, sizes and seeds will do; without a folder, one small pair of runs is made::

    plasmodia experiment run digits --arm archive --arm unemitted emitters.children=0 --seeds 0:5 --out out/search
    PYTHONPATH=. python tests/benchmarks/search.py out/search

Printed are the ratio of the QD scores, at the end and by the last rounds that both can pay in counted FLOPs; the share
of the trainers' time; by how much the best objective rises after the first birth, and the best held-out objective
against that without emitters; and what emitted elites keep of their objective on held-out examples, mean and least.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from archive_store.reading import Run, open_run

COMMAND = (sys.executable, "-m", "runs.cli", "experiment", "run", "digits", "rounds=10", "organism.count=4")
ARMS = ("--arm", "archive", "--arm", "unemitted", "emitters.children=0", "--seeds", "0")
COSTS = ["flops_training", "flops_assays", "flops_emitters"]


def main() -> None:
    """Print a line for each seed."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "search"
        subprocess.run([*COMMAND, *ARMS, "--quiet", "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
        measure(out)


def measure(folder: Path) -> None:
    """Print what the runs of an experiment came to."""
    print(
        "seed  QD scores     ratio  at equal FLOPs  of trainers' time  best rises by  held out best  elites keep"
    )
    for path in sorted((folder / "cells" / "archive").iterdir(), key=lambda path: int(path.name)):
        run, without = open_run(path), open_run(folder / "cells" / "unemitted" / path.name)
        if not (run.directory.finished() and without.directory.finished()):
            continue
        rounds, others = run.rounds(), without.rounds()
        score, other = rounds.iloc[-1], others.iloc[-1]
        most = min(cost(rounds).iloc[-1], cost(others).iloc[-1])
        paid, also = (each["qd_score"][cost(each) <= most].iloc[-1] for each in (rounds, others))
        mean, least = kept(run)
        print(
            f"{path.name:>4}  {score.qd_score:5.1f}, {other.qd_score:5.1f}    {score.qd_score / other.qd_score:.2f}  "
            f"{paid / also:14.2f}  {time_share(run):16.1%}  {rise(rounds):13.3f}  {score.held_out_best_objective:.3f}, "
            f"{other.held_out_best_objective:.3f}    {mean:.2f}, {least:.2f}"
        )


def cost(rounds: pd.DataFrame) -> pd.Series:
    """Return the counted FLOPs up to the end of each round."""
    return rounds.reindex(columns=COSTS).fillna(0.0).sum(axis=1).cumsum()


def time_share(run: Run) -> float:
    """Return the emitters' share of the seconds that trainers worked."""
    spent = run.timings().groupby("name")["seconds"].sum()
    return spent.get("emit_total", 0.0) / (spent.get("emit_total", 0.0) + spent["total"])


def rise(rounds: pd.DataFrame) -> float:
    """Return by how much the best objective is higher at the end than before the first birth; NaN without births."""
    born = rounds.index[rounds["births"] > 0]
    if not len(born):
        return float("nan")
    return rounds["best_objective"].iloc[-1] - rounds["best_objective"].loc[: born[0]].iloc[-1]


def kept(run: Run) -> tuple[float, float]:
    """Return the mean and the least share of their objective that emitted elites keep on held-out examples."""
    second = run.held_out()
    again = second[second["round"] == second["round"].max()].set_index("cell")["objective"]
    elites = run.elites()
    emitted = elites[elites["emitter"].notna()].set_index("cell")["objective"]
    shares = again.reindex(emitted.index) / emitted
    return float(shares.mean()), float(shares.min())


if __name__ == "__main__":
    main()
