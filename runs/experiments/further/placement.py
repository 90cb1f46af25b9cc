"""What placement would have cost a run on several devices, simulated: balance, transfers, and what a loss moves.

The orders are those of the run's journal, an organism a round, each as long as its counted FLOPs; where an order goes
is said by `runs.workers.placement`, by the run's own behaviours, cells and seed. An order begins when the organism's
last one has ended and the round that its view needs is closed. No clock is read, and no digest depends on any of it.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archive_store.journal.values import values
from archive_store.reading import Run, open_run
from qd.records import Census
from runs.errors import RunError
from runs.experiments.folder import ExperimentFolder
from runs.experiments.plan import Plan, Task
from runs.experiments.report import Study
from runs.experiments.results import Metric
from runs.workers.placement import home, key_of

RULES = ("random", "hash", "load")  # with the first one the others are compared
PER_DEVICE = 4  # organisms
METRICS = (
    Metric("balance", "FLOPs of the busiest device, over the mean of all", -1, ".3f", low=1.0),
    Metric(
        "makespan", "time until the last order has ended, over what even devices need", -1, ".3f", low=1.0
    ),
    Metric("transfers", "share of the orders whose state lies on another device", -1, ".3f", 0.0, 1.0),
    Metric("moved_at_loss", "the same in the round after one device is lost", -1, ".3f", 0.0, 1.0),
)


@dataclass(frozen=True, slots=True)
class Order:
    """The work of an organism in a round."""

    organism: int
    round: int
    flops: float
    keys: Mapping[str, str | None]  # of each rule; None: any device may do it


@dataclass(frozen=True, slots=True)
class Sent:
    """Where an order was done, and until when."""

    device: str
    end: float  # in FLOPs of one device


Done = dict[tuple[int, int], Sent]  # by round and organism


def devices_for(organisms: int) -> int:
    """Return how many devices a population is placed on: one for four organisms, and two at least."""
    return max(2, organisms // PER_DEVICE)


def studies(folder: ExperimentFolder, plan: Plan) -> tuple[Study, ...]:
    """Return, for each arm with finished runs, how the rules of placement compare over its seeds.

    Raises
    ------
    RunError, StoreError
        As `placed`.
    """
    found = []
    for arm in plan.arms:
        seeds = [seed for seed in plan.seeds if folder.done(Task("cell", arm.name, seed))]
        count = devices_for(arm.config.organism.count)
        runs = {seed: placed(open_run(folder.cell(arm.name, seed)), count) for seed in seeds}
        if runs:
            by_rule = {rule: {seed: each[rule] for seed, each in runs.items()} for rule in RULES}
            title = f"placement of the orders of {arm.name} on {count} devices, simulated"
            found.append(Study(f"placement of {arm.name}", title, by_rule, RULES[0], METRICS))
    return tuple(found)


def placed(run: Run, devices: int) -> dict[str, dict[str, float]]:
    """Return what each rule of placement comes to, by the names of `METRICS`.

    Parameters
    ----------
    run
        A finished one of two rounds at least, for others move nothing.
    devices
        How many, two at least; all are as fast.

    Raises
    ------
    RunError
        If its journal does not count the FLOPs of training, as those of older versions do not.
    StoreError
        If its files are damaged.
    """
    orders, lag, seed = orders_of(run), int(run.config["lag"]), int(run.config["seed"])
    names = [f"device {number}" for number in range(devices)]
    return {rule: _came_to(orders, rule, names, lag, seed) for rule in RULES}


def orders_of(run: Run) -> list[Order]:
    """Return the orders of a run, by round and organism.

    Raises
    ------
    RunError, StoreError
        As `placed`.
    """
    ranges, centroids = run.ranges(), run.centroids()
    with run.directory.journal() as journal:
        censuses = {
            (each.round, each.organism): each for each in values(journal.events(kind="census"), Census)
        }
    orders = []
    for (round, organism), census in sorted(censuses.items()):
        if not census.flops_training:
            raise RunError(
                f"{run.directory.path} does not count the FLOPs of training, by which orders are timed; launch it again"
            )
        before = censuses.get((round - 1, organism))
        keys = {rule: key_of(rule, organism, round, before, ranges, centroids) for rule in RULES}
        orders.append(Order(organism, round, census.flops_training + census.flops_assays, keys))
    return orders


def simulated(
    orders: Sequence[Order],
    rule: str,
    devices: Sequence[str],
    lag: int,
    seed: int,
    before: Done | None = None,
) -> Done:
    """Return where and until when each order is done.

    Of the orders that may begin, an idle device takes the first: of the earliest round, and in it the longest.

    Parameters
    ----------
    orders
        Of one round or more that follow one another.
    rule
        ``load``, ``hash`` or ``random``.
    devices
        Their names; all are as fast.
    lag
        Rounds that an organism may be ahead of what its view shows.
    seed
        Of the run.
    before
        What was done in the rounds before; None: there were none. The clock starts anew.
    """
    first = min(order.round for order in orders)
    population = {order.organism for order in orders}
    done: Done = {key: Sent(each.device, 0.0) for key, each in (before or {}).items()}
    waiting = sorted(orders, key=lambda order: (order.round, -order.flops, order.organism))
    idle, now = list(devices), 0.0
    ends: list[tuple[float, str]] = []
    while waiting or ends:
        started = []
        for order in waiting:
            if not idle:
                break
            if not _may_begin(order, done, population, first, lag, now):
                continue
            key = order.keys[rule]
            device = idle[0] if key is None else home(key, devices, seed)
            if device in idle:
                idle.remove(device)
                started.append(order)
                done[order.round, order.organism] = Sent(device, now + order.flops)
                heapq.heappush(ends, (now + order.flops, device))
        waiting = [order for order in waiting if order not in started]
        now, device = heapq.heappop(ends)
        idle.append(device)
    return done


def _may_begin(order: Order, done: Done, population: set[int], first: int, lag: int, now: float) -> bool:
    """Whether an organism's last order has ended, and the round that it sees is closed."""
    needed = [(order.round - 1, order.organism)] if order.round > first else []
    seen = order.round - 1 - lag
    needed += [(seen, organism) for organism in population] if seen >= first else []
    return all(key in done and done[key].end <= now for key in needed)


def _came_to(
    orders: Sequence[Order], rule: str, names: Sequence[str], lag: int, seed: int
) -> dict[str, float]:
    done = simulated(orders, rule, names, lag, seed)
    work = dict.fromkeys(names, 0.0)
    for order in orders:
        work[done[order.round, order.organism].device] += order.flops
    mean = sum(work.values()) / len(names)
    last = max(order.round for order in orders)
    later = [order for order in orders if order.round > 1]
    return {
        "balance": max(work.values()) / mean,
        "makespan": max(each.end for each in done.values()) / mean,
        "transfers": _moved(later, done),
        "moved_at_loss": float(
            np.mean(
                [
                    _moved_without(
                        name, [each for each in orders if each.round == last], done, rule, names, lag, seed
                    )
                    for name in names
                ]
            )
        ),
    }


def _moved_without(
    lost: str, orders: Sequence[Order], done: Done, rule: str, names: Sequence[str], lag: int, seed: int
) -> float:
    """Return the share of the last round's orders whose state moves, if a device is lost before it."""
    before = {key: each for key, each in done.items() if key[0] < orders[0].round}
    left = [name for name in names if name != lost]
    return _moved(orders, simulated(orders, rule, left, lag, seed, before))


def _moved(orders: Sequence[Order], done: Done) -> float:
    moves = [
        done[order.round - 1, order.organism].device != done[order.round, order.organism].device
        for order in orders
    ]
    return float(np.mean(moves))
