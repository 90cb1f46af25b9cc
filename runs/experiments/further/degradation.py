"""How the best network of a run degrades as its parts are removed: its test score against the share that is gone.

A part is removed by its gate, which is what a death does. Three orders: at random (the mean of some that are drawn by
name), the least useful first and the most useful first, by the exact ablations of the run's last census, which were
made on the probe split. Scores are those of the test split. What was measured is kept beside the runs, in
``degradation.json``, with the digest of each run, so that it is measured once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archive_store.reading import Run, open_run
from qd.seeding import generator
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import kept as files
from runs.experiments.plan import Plan, Task

if TYPE_CHECKING:
    from organisms.species import Organism
    from runs.training.world import World

FILE = "degradation.json"
ORDERS = {  # and what pictures call them
    "random": "at random",
    "worst_first": "the least useful first",
    "best_first": "the most useful first",
}
DRAWS = 8  # orders at random
POINTS = 16  # at most so many shares beside none
SPARED = 0.1  # of what the parts bring together


@dataclass(frozen=True, slots=True)
class Degraded:
    """Scores of one network without some of its parts."""

    run: str  # digest of the last round
    parts: int
    shares: tuple[float, ...]  # of the parts, removed, from 0 to 1
    random: tuple[float, ...]  # the score at each share
    worst_first: tuple[float, ...]
    best_first: tuple[float, ...]

    def metrics(self) -> dict[str, float]:
        """Return the mean score over shares in each order, and the share that can go (`removable`)."""
        found = {
            f"degradation_{order}": float(np.trapezoid(getattr(self, order), self.shares)) for order in ORDERS
        }
        share = removable(self.shares, self.random)
        return found if share is None else {**found, "removable": share}


Known = Mapping[str, Mapping[int, Degraded]]  # arm, seed


def removable(shares: Sequence[float], scores: Sequence[float]) -> float | None:
    """Return the largest share of the parts without which a tenth of what all bring is not yet lost.

    Between shares a straight line is drawn; None where the parts bring nothing.

    Parameters
    ----------
    shares
        That are removed, from 0 to 1.
    scores
        The score at each.
    """
    if scores[0] <= scores[-1]:
        return None
    least = scores[0] - SPARED * (scores[0] - scores[-1])
    place = next(place for place, score in enumerate(scores) if score < least)
    (x, y), (x_after, y_after) = ((shares[at], scores[at]) for at in (place - 1, place))
    return float(x + (x_after - x) * (y - least) / (y - y_after))


def measured(folder: ExperimentFolder, plan: Plan, known: Known) -> dict[str, dict[int, Degraded]]:
    """Return how the best network of each finished run degrades; what is known of the same run is taken as it is.

    Parameters
    ----------
    folder, plan
        The experiment, whose own code is imported.
    known
        What was measured before.
    """
    found: dict[str, dict[int, Degraded]] = {arm.name: {} for arm in plan.arms}
    for cell in plan.cells:
        if not folder.done(Task("cell", cell.arm, cell.seed)):
            continue
        run = open_run(folder.cell(cell.arm, cell.seed))
        before = known.get(cell.arm, {}).get(cell.seed)
        now = before if before is not None and before.run == run.digest() else degraded(run)
        if now is not None:
            found[cell.arm][cell.seed] = now
    return found


def degraded(run: Run) -> Degraded | None:
    """Return how the best network of a run degrades; None where no state is kept, or nothing lives in it.

    Raises
    ------
    RunError
        If the run's data or settings are not what they were, or what it keeps is of another version.
    StoreError
        If its files are damaged.
    """
    from runs.calibration.stored import config_of
    from runs.results.best import newest, organism_of, world_of

    state = newest(run)
    if state is None:
        return None
    config = config_of(run.directory)
    world = world_of(run, config)
    organism = organism_of(run, world, state)
    records = run.records()
    own = records[(records["organism"] == state.organism) & (records["round"] == state.round)]
    ablations = dict(zip(own["slot"].astype(int), own["ablation"].astype(float), strict=True))
    slots = [slot for slot, _ in organism.pool.alive()]
    if not slots or set(slots) != ablations.keys():
        return None
    by_worth = sorted(slots, key=lambda slot: (ablations[slot], slot))
    drawn = [
        [slots[place] for place in generator(config.seed, draw, "order of removal").permutation(len(slots))]
        for draw in range(DRAWS)
    ]
    counts = sorted({round(count) for count in np.linspace(0, len(slots), min(len(slots), POINTS) + 1)})
    scores = Scores(world, organism)
    return Degraded(
        run.digest(),
        len(slots),
        tuple(count / len(slots) for count in counts),
        tuple(np.mean([scores.along(order, counts) for order in drawn], axis=0).tolist()),
        tuple(scores.along(by_worth, counts)),
        tuple(scores.along(by_worth[::-1], counts)),
    )


@dataclass(frozen=True, slots=True)
class Scores:
    """Test scores of a network of which some parts are gated off."""

    world: "World"
    organism: "Organism"

    def along(self, order: Sequence[int], counts: Sequence[int]) -> list[float]:
        """Return the score without the first so many slots of an order, for each count."""
        return [self.without(order[:count]) for count in counts]

    def without(self, slots: Sequence[int]) -> float:
        """Return the score without some slots."""
        import torch

        from organisms.nn import score
        from runs.results.emergence import answers

        gates = torch.ones(self.organism.pool.size, device=self.world.device)
        gates[list(slots)] = 0.0
        return score(self.world.task, answers(self.world, self.organism, gates), self.world.test.targets)


def curves(found: Known, plan: Plan) -> dict[str, dict[str, list[tuple[Sequence[float], Sequence[float]]]]]:
    """Return the curves of each seed by order and by arm, as pictures take them; empty where none is known."""
    if not any(found.values()):
        return {}
    return {
        called: {
            arm.name: [
                (each.shares, getattr(each, order)) for _, each in sorted(found.get(arm.name, {}).items())
            ]
            for arm in plan.arms
        }
        for order, called in ORDERS.items()
    }


def keep(folder: ExperimentFolder, found: Known) -> None:
    """Write what was measured beside the runs."""
    files.keep(
        folder,
        FILE,
        {arm: {seed: asdict(each) for seed, each in by_seed.items()} for arm, by_seed in found.items()},
    )


def kept(folder: ExperimentFolder) -> dict[str, dict[int, Degraded]]:
    """Read what was measured; errors are those of `runs.experiments.further.kept.kept`."""
    return files.kept(folder, FILE, _degraded, "--also degradation")


def _degraded(plain: Mapping[str, Any]) -> Degraded:
    numbers = {name: tuple(map(float, plain[name])) for name in ("shares", *ORDERS)}
    if len({len(each) for each in numbers.values()}) > 1 or not numbers["shares"]:
        raise ValueError("its curves have different numbers of points")
    return Degraded(str(plain["run"]), int(plain["parts"]), **numbers)
