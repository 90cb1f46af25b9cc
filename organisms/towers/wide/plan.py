"""Towers sorted by structure: which are computed together, and why others are not."""

from collections.abc import Hashable, Mapping, Sequence
from operator import is_
from typing import Any

from torch import Tensor, nn

from organisms.towers.wide.executor import Executor
from organisms.towers.wide.groups.signature import objection, signature
from organisms.towers.wide.groups.stack import Stack, partly_shared
from organisms.towers.wide.groups.watch import Watch
from organisms.towers.wide.strategy import ExecutionStrategy


class Plan:
    """The groups of some towers; it holds until one of them changes its structure, mode or settings.

    Parameters
    ----------
    towers
        The towers by name.
    options, stacks
        As `Executor` takes them.
    """

    def __init__(
        self,
        towers: Mapping[str, nn.Module],
        options: Mapping[str, Any] | None = None,
        stacks: Sequence[Stack] = (),
    ) -> None:
        self._towers, self._order = list(towers.values()), list(towers)
        self._watch = Watch(self._towers)
        self.executors = [
            Executor({name: towers[name] for name in names}, reason, options, stacks)
            for names, reason in grouped(towers)
        ]
        order = {name: at for at, name in enumerate(towers)}
        self._places = [[order[name] for name in each.towers] for each in self.executors]
        self.drops = any(each.drops for each in self.executors)

    def holds(self, towers: Sequence[nn.Module | None]) -> bool:
        """Whether these are the towers, and still what they were."""
        same = len(towers) == len(self._towers) and all(map(is_, towers, self._towers))
        return same and self._watch.unchanged() and not any(each.stale for each in self.executors)

    def stacks(self) -> list[Stack]:
        """Return what holds the towers' parameters."""
        return [each.stack for each in self.executors if each.stack is not None]

    def names(self) -> list[list[str]]:
        """Return the names of the towers of each group."""
        return [list(each.towers) for each in self.executors]

    def reasons(self) -> dict[str, str]:
        """Return why the towers of a group cannot be computed together, by their names."""
        return {", ".join(e.towers): next(iter(e.reasons.values())) for e in self.executors if e.reasons}

    def run(
        self,
        strategy: ExecutionStrategy,
        x: Any,
        keys: Tensor | None,
        deterministic: bool,
        ensembles: Mapping[str, nn.Parameter],
    ) -> dict[str, Any]:
        """Return the opinion of each tower.

        Parameters
        ----------
        strategy, x, deterministic
            As `Executor.run` takes them.
        keys
            What dropouts draw from, int64 [N] in the order of the towers; None: nothing is dropped.
        ensembles
            The weights of a group's two ways, by the name of its first tower.
        """
        opinions: dict[str, Any] = {}
        for each, places in zip(self.executors, self._places, strict=True):
            own = None if keys is None else keys[places]
            first = next(iter(each.towers))
            opinions |= each.run(strategy, x, own, deterministic, ensembles.get(first))
        if any(each.reasons for each in self.executors) and not self._watch.unchanged():
            self._watch = Watch(self._towers)  # one of the reasons: the pass itself changes attributes
        return {name: opinions[name] for name in self._order}


def grouped(towers: Mapping[str, nn.Module]) -> list[tuple[list[str], str | None]]:
    """Return names of towers that can be computed together, and, for those that cannot, why."""
    alone = {name: reason for name, tower in towers.items() if (reason := objection(tower))}
    kinds: dict[Hashable, list[str]] = {}
    for name, tower in towers.items():
        kinds.setdefault(alone.get(name) or signature(tower), []).append(name)
    return [(names, _reason(names, towers, alone)) for names in kinds.values()]


def _reason(names: list[str], towers: Mapping[str, nn.Module], alone: Mapping[str, str]) -> str | None:
    if names[0] in alone:
        return alone[names[0]]
    if len(names) == 1:
        return "no other tower has its structure"
    tied = partly_shared([towers[name] for name in names])
    return f"{tied} is shared with other towers or places" if tied else None
