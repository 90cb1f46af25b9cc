"""What a second worker brings at lag 0, 1 and 2, when organisms cost unequally much.

The costs are made by a measure that multiplies matrices in proportion to the organism's number: the costliest
of eight organisms takes about four times as long as the cheapest. Start-up and calibration are left out.
For each lag the runs with one and two workers must have equal digests; then the ratio of their times is
printed. A barrier (lag 0) lets workers wait for the slowest organism of a round; lag 1 and 2 do not.

    PYTHONPATH=. python tests/benchmarks/lag.py [ROUNDS]
"""

import sys
import tempfile
import time
from pathlib import Path

from runs.machine.settings import prepare

LAGS, ROUNDS = (0, 1, 2), 8
ORGANISMS, SIZE, PRODUCTS = 8, 384, 24  # products of SIZE x SIZE matrices that the cheapest organism takes
MEASURES = "[attention_span,lag:burden,gradient_flow,access_locality,compute_intensity]"
SIZES = (
    "task.examples=128",
    "organism.dim=16",
    "organism.pseudopods.max_rank=4",
    "organism.pseudopods.max_width=4",
    f"organism.count={ORGANISMS}",
    "training.steps_per_round=2",
    "calibration.steps=12",
    "archive.cells=64",
    f"measures={MEASURES}",
    "execution.executor=ray",
)


def burden(organism, inputs, targets):
    """Give each component's temperature, after work that grows with the number of the organism."""
    import torch

    living = [occupant for _, occupant in organism.pool.alive()]
    number = living[0].component.organism
    if number >= 0:  # those of calibration have negative ones
        product = torch.full((SIZE, SIZE), 1 / SIZE)
        for _ in range(round(PRODUCTS * (1 + 3 * number / (ORGANISMS - 1)))):
            product = product @ product
    return [dict(occupant.genes)["temperature"] for occupant in living]


def timed(pool, workers: int, lag: int, rounds: int, folder: Path) -> tuple[float, str]:
    """Run all rounds on a pool; give the seconds that they take, and the digest."""
    run_path = folder / f"{workers}-{lag}"
    with started(prepared_for(workers, lag, rounds), run_path, pool, lambda progress: None) as run:
        start = time.perf_counter()
        run.driver().run()
        return time.perf_counter() - start, run.journal.digest()


def prepared_for(workers: int, lag: int, rounds: int):
    from runs.config.reader import load
    from runs.prepared import prepare as prepared

    return prepared(load("smoke", [*SIZES, f"rounds={rounds}", f"lag={lag}", f"execution.workers={workers}"]))


def started(*arguments):
    from runs.launch import started as starting

    return starting(*arguments)


def measure(workers: int, rounds: int, folder: Path) -> dict[int, tuple[float, str]]:
    from runs.workers.start import pool_of

    with pool_of(prepared_for(workers, 0, rounds)) as pool:
        return {lag: timed(pool, workers, lag, rounds, folder) for lag in LAGS}


def main() -> None:
    prepare()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        one, two = (measure(workers, rounds, Path(folder)) for workers in (1, 2))
    print(f"{ORGANISMS} organisms of cost 1 to 4, {rounds} rounds; seconds without start-up")
    print("lag   1 worker   2 workers   ratio   (aim: 1.8 with lag 1)")
    for lag in LAGS:
        assert one[lag][1] == two[lag][1], f"the digests at lag {lag} differ; no speed is reported"
        print(f"{lag:>3}   {one[lag][0]:>8.2f}   {two[lag][0]:>9.2f}   {one[lag][0] / two[lag][0]:>5.2f}")


if __name__ == "__main__":
    main()
