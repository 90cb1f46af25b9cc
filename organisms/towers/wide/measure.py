"""Which way to compute a group of towers is the fastest, by a clock and without consequences."""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from organisms.towers.wide.groups import streams as chance
from organisms.towers.wide.groups.group import TowerGroup
from organisms.towers.wide.strategy import ExecutionStrategy

ROUNDS, FEWEST = 15, 3  # a way's first passes may be slow for any reason
PATIENCE = 0.5  # seconds after which the fewest rounds are enough
HOPELESS = (
    1.5  # times the shortest pass so far: a way that takes as long is tried no more than the fewest times
)


def fastest(
    towers: Mapping[str, nn.Module],
    ways: Mapping[ExecutionStrategy, TowerGroup],
    x: Any,
    keys: Tensor | None,
) -> ExecutionStrategy:
    """Return the way of the shortest pass, with its backward pass where gradients are wanted.

    The ways take turns of two passes, the second of which is timed, up to `ROUNDS` times; where passes are long, and
    those that are far behind, fewer times. Towers one by one are copies, and groups rehearse: no buffer, cache,
    gradient or generator changes. On one thread of a CPU its own time counts, whatever else the machine does.

    Parameters
    ----------
    towers
        The towers by name.
    ways
        What computes them together.
    x
        Their input.
    keys
        What their dropouts draw from, int64 [N]; None: from torch's own generator, if there are any.
    """
    copies = copy.deepcopy(list(towers.values()))
    x = tree_map(_cut, x)

    def one_by_one() -> list[Any]:
        if keys is None:
            return [tower(x) for tower in copies]
        found = []
        for key, tower in zip(keys, copies, strict=True):
            with chance.Streams(key).of(key):
                found.append(tower(x))
        return found

    originals = list(towers.values())
    passes: dict[ExecutionStrategy, tuple[Callable[[], Any], list[Tensor]]] = {
        ExecutionStrategy.SEQUENTIAL: (one_by_one, _wanting(copies, x))
    }
    for way, group in ways.items():
        passes[way] = (lambda group=group: group.rehearsal(x, keys), _wanting(originals, x))  # type: ignore[misc]
    times: dict[ExecutionStrategy, list[float]] = {way: [] for way in passes}
    tensors = (each for each in (*tree_leaves(x), *originals[0].parameters()) if isinstance(each, Tensor))
    clock = _clock(next(tensors, torch.empty(0)).device)
    begin = time.perf_counter()
    for done in range(ROUNDS):
        if done >= FEWEST and time.perf_counter() - begin > PATIENCE:
            break
        for way, (run, leaves) in passes.items():
            times[way].append(_seconds(run, leaves, clock))
        bound = HOPELESS * min(min(each) for each in times.values())
        passes = {way: p for way, p in passes.items() if done + 1 < FEWEST or min(times[way]) < bound}
    return min(times, key=lambda way: min(times[way]))


def _seconds(run: Callable[[], Any], leaves: list[Tensor], clock: Callable[[], float]) -> float:
    """Return how long a pass takes that comes after one of its own, as in training: not after one of another way."""
    _passed(run, leaves)
    start = clock()
    _passed(run, leaves)
    return clock() - start


def _passed(run: Callable[[], Any], leaves: list[Tensor]) -> None:
    outputs = [each for each in tree_leaves(run()) if isinstance(each, Tensor) and each.requires_grad]
    if outputs and leaves:
        torch.autograd.grad(outputs, leaves, [torch.ones_like(each) for each in outputs], allow_unused=True)


def _clock(device: torch.device) -> Callable[[], float]:
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return time.thread_time

    def synchronised() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def _cut(each: Any) -> Any:
    """Return a tensor without the graph that made it, which a backward pass would use up."""
    return each.detach().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each


def _wanting(towers: list[nn.Module], x: Any) -> list[Tensor]:
    """Return what a backward pass would give gradients to; the empty list where none is wanted."""
    if not torch.is_grad_enabled():
        return []
    leaves = [each for tower in towers for each in tower.parameters() if each.requires_grad]
    inputs = [each for each in tree_leaves(x) if isinstance(each, Tensor) and each.requires_grad]
    return list({id(each): each for each in (*leaves, *inputs)}.values())
