"""What placement costs and spares, in a simulation: balance of devices, states that move, and moves at a loss.

Eight organisms for each device, whose mean behaviours walk through the unit cube of five measures with 256 cells, a few
hundredths of its side a round, as those of a run on `digits` do. `modulo` is the blueprint's ``hash(cell) % devices``.

    PYTHONPATH=. python tests/benchmarks/placement.py
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import KDTree

from qd.centroids import halton_cvt
from qd.seeding import generator, uniform
from runs.workers.placement import home

DEVICES = (4, 16, 64, 256, 1000)
PER_DEVICE, CELLS, STEP, ROUNDS = 8, 256, 0.02, 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over rounds."""

    balance: float  # orders of the busiest device over the mean of all
    moved: float  # share of the orders whose state was left on another device
    moved_at_loss: (
        float | None
    )  # share of the keys that have another device when one is lost, where there are keys


def main() -> None:
    """Print the table."""
    print("devices  placement  busiest / mean  states that move a round  moved when one device is lost")
    for devices in DEVICES:
        for placement, found in simulated(devices, seed=0).items():
            at_loss = "-" if found.moved_at_loss is None else f"{found.moved_at_loss:.1%}"
            print(f"{devices:7}  {placement:9}  {found.balance:14.2f}  {found.moved:24.1%}  {at_loss:>29}")


def simulated(devices: int, seed: int, rounds: int = ROUNDS) -> dict[str, Outcome]:
    """Return what each placement comes to."""
    cells = _walks(PER_DEVICE * devices, seed, rounds)
    names = [f"device {number}" for number in range(devices)]
    lost = names[: devices // 2] + names[devices // 2 + 1 :]
    homes = {cell: home(f"cell {cell}", names, seed) for cell in sorted(set(cells.ravel().tolist()))}
    later = {cell: home(f"cell {cell}", lost, seed) for cell in homes}
    remainders = {cell: names[_modulo(cell, devices, seed)] for cell in homes}
    remainders_later = {cell: lost[_modulo(cell, devices - 1, seed)] for cell in homes}
    orders = range(len(cells[0]))
    drawn = [[names[_modulo(f"{r}:{o}", devices, seed)] for o in orders] for r in range(rounds)]
    dealt = [
        [names[(order + shift) % devices] for order in orders] for shift in _shifts(devices, seed, rounds)
    ]
    placed = {
        "load": (dealt, None),
        "hash": (_looked_up(homes, cells), _differ(homes, later)),
        "modulo": (_looked_up(remainders, cells), _differ(remainders, remainders_later)),
        "random": (drawn, None),
    }
    return {name: _outcome(rows, devices, at_loss) for name, (rows, at_loss) in placed.items()}


def _looked_up(homes: dict[int, str], cells: np.ndarray) -> list[list[str]]:
    return [[homes[cell] for cell in row] for row in cells.tolist()]


def _walks(organisms: int, seed: int, rounds: int) -> np.ndarray:
    rng = generator(seed, organisms, "walks")
    steps = STEP * rng.standard_normal((rounds, organisms, 5))
    steps[0] = rng.uniform(size=(organisms, 5))
    return KDTree(halton_cvt(CELLS, 5, seed)).query(np.clip(np.cumsum(steps, axis=0), 0, 1))[1]


def _modulo(key: object, devices: int, seed: int) -> int:
    return min(int(uniform(seed, 0, f"modulo {key}") * 2**53) % devices, devices - 1)


def _shifts(devices: int, seed: int, rounds: int) -> list[int]:
    """Who is idle first differs from round to round."""
    return generator(seed, devices, "who is idle").integers(devices, size=rounds).tolist()


def _outcome(placed: list[list[str]], devices: int, moved_at_loss: float | None) -> Outcome:
    busiest = [max(Counter(row).values()) * devices / len(row) for row in placed]
    moved = [np.mean([a != b for a, b in zip(*pair, strict=True)]) for pair in pairwise(placed)]
    return Outcome(float(np.mean(busiest)), float(np.mean(moved)), moved_at_loss)


def _differ(one: dict[int, str], other: dict[int, str]) -> float:
    return float(np.mean([one[key] != other[key] for key in one]))


if __name__ == "__main__":
    main()
