"""How a group of towers is computed: the first way that works, after it has agreed with the towers one by one."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from kernels.exporting import exporting
from organisms.towers.wide.agreement import agree, gradients, kind, largest
from organisms.towers.wide.groups import streams as chance
from organisms.towers.wide.groups.ensemble import SubEnsembleGroup
from organisms.towers.wide.groups.group import CHANGES, TowerGroup
from organisms.towers.wide.groups.primitive_group import WidePrimitiveTowerGroup
from organisms.towers.wide.groups.stack import MovedApartError, Stack
from organisms.towers.wide.groups.vmap_group import VMapTowerGroup
from organisms.towers.wide.groups.watch import Watch
from organisms.towers.wide.measure import fastest
from organisms.towers.wide.randomness import unmoved
from organisms.towers.wide.strategy import TRIED, ExecutionStrategy, by_size
from organisms.towers.wide.surroundings import RECOUNTED, hindrance, recounted

GROUPS: Mapping[ExecutionStrategy, Callable[..., TowerGroup]] = {
    ExecutionStrategy.VMAP: VMapTowerGroup,
    ExecutionStrategy.WIDE_COMPILER: WidePrimitiveTowerGroup,
}

MISLED = 0.05  # of the largest gradient: more than rounding comes to in any dtype, also under autocast


class Executor:
    """Towers of one signature, and what has been learnt about the ways to compute them.

    A way is used once it has been tried without consequences, on an input of the same kind, and has given what the
    towers give one by one, gradients too. So a forward pass that vmap or a graph gets wrong costs one pass, and no
    result.

    Parameters
    ----------
    towers
        The towers by name.
    reason
        Why they cannot be computed together; None: as far as can be seen they can.
    options
        Those of ``torch.compile`` for what computes them together; None: it is not compiled.
    stacks
        Stacks that may hold the towers' parameters already.
    """

    def __init__(
        self,
        towers: Mapping[str, nn.Module],
        reason: str | None,
        options: Mapping[str, Any] | None = None,
        stacks: Sequence[Stack] = (),
    ) -> None:
        self.towers = dict(towers)
        self.drops = any(chance.drops(tower) for tower in towers.values())
        self.reasons = {} if reason is None else dict.fromkeys(GROUPS, reason)
        self.apart: str | None = None  # why the last pass was computed one by one, which another need not be
        self.used = ExecutionStrategy.SEQUENTIAL
        self.chosen: dict[Hashable, ExecutionStrategy] = {}
        self._groups: dict[ExecutionStrategy, TowerGroup] = {}
        self.stack = None if reason else next((e for e in stacks if e.of(list(towers.values()))), None)
        self._proven: set[Hashable] = set()
        self._options = options
        self.stale = False  # whether the towers have to be grouped anew
        self._ensemble: SubEnsembleGroup | None = None

    def run(
        self,
        strategy: ExecutionStrategy,
        x: Any,
        keys: Tensor | None,
        deterministic: bool,
        weights: nn.Parameter | None = None,
    ) -> dict[str, Any]:
        """Return the opinion of each tower.

        Parameters
        ----------
        strategy
            How they are computed; where that cannot be, by the next one of `TRIED`.
        x
            The input of every tower.
        keys
            What their dropouts draw from, int64 [N]; None: from torch's own generator, if there are any.
        deterministic
            Whether AUTO goes by the size of x instead of a clock.
        weights
            Those of a `SubEnsembleGroup`, which is used once both of its ways are proven; None: none is.
        """
        if exporting():
            return self.sequential(x, keys)
        settled = not recounted() or self._settled(strategy, x, deterministic, weights)
        self.apart = hindrance() or (None if settled else RECOUNTED)
        if self.apart is not None:
            return self.sequential(x, keys)
        if weights is not None:
            unproven = self._unproven(x)
            if unproven is None and (ensemble := self.ensemble(weights)) is not None:
                return ensemble(x, keys)
            strategy = unproven or ExecutionStrategy.SEQUENTIAL
        if strategy is ExecutionStrategy.AUTO:
            strategy = self._choice(x, keys, deterministic)
        for each in TRIED[strategy]:
            group = self.group(each)
            if group is not None:
                way = self._used if self.proven(each, x) else self._proof
                return way(each, group, x, keys)
        return self.sequential(x, keys)

    def sequential(self, x: Any, keys: Tensor | None) -> dict[str, Any]:
        """Return the opinion of each tower, one after the other.

        Parameters
        ----------
        x, keys
            As `run` takes them.
        """
        self.used = ExecutionStrategy.SEQUENTIAL
        return one_by_one(self.towers, x, keys)

    def group(self, strategy: ExecutionStrategy) -> TowerGroup | None:
        """Return what computes the towers together, None if that cannot be; `reasons` says why."""
        if strategy in self.reasons:
            return None
        if strategy not in self._groups:
            try:
                group = GROUPS[strategy](self.towers, self.stack)
            except Exception as error:  # of any kind: listing operations runs a user's code on stand-ins
                self._blame(strategy, error)
                return None
            self.stack = group.stack
            if self._options is not None:
                group.compile_batch(**self._options)
            self._groups[strategy] = group
        return self._groups[strategy]

    def proven(self, strategy: ExecutionStrategy, x: Any) -> bool:
        """Whether a way has agreed with the towers one by one on an input of this kind."""
        return (strategy, kind(x)) in self._proven

    def ensemble(self, weights: nn.Parameter) -> SubEnsembleGroup | None:
        """Return both ways, mixed by weights [2]; None if the towers cannot be computed in both."""
        if any(self.group(way) is None for way in GROUPS):
            return None
        if self._ensemble is None or self._ensemble.weights is not weights:
            self._ensemble = SubEnsembleGroup(self.towers, self.stack, weights)
        return self._ensemble

    def coverage(self) -> dict[str, float] | None:
        """Return what `WidePrimitiveTowerGroup.coverage` does, None if there is no such group."""
        group = self._groups.get(ExecutionStrategy.WIDE_COMPILER)
        return group.coverage() if isinstance(group, WidePrimitiveTowerGroup) else None

    def stats(self) -> dict[str, Any]:
        """Return the towers, what computed them last, what AUTO has chosen, and why a way was not possible."""
        return {
            "towers": list(self.towers),
            "used": self.used.value,
            "chosen": {str(key): way.value for key, way in self.chosen.items()},
            "reasons": {way.value: reason for way, reason in self._hindrances().items()},
        }

    def _hindrances(self) -> dict[ExecutionStrategy, str]:
        return self.reasons if self.apart is None else dict.fromkeys(GROUPS, self.apart) | self.reasons

    def _settled(
        self, strategy: ExecutionStrategy, x: Any, deterministic: bool, weights: nn.Parameter | None
    ) -> bool:
        """Whether a pass tries nothing out: what it would use is proven, and chosen."""
        everything = weights is not None or (strategy is ExecutionStrategy.AUTO and not deterministic)
        possible = [way for way in (GROUPS if everything else TRIED[strategy]) if way not in self.reasons]
        proven = all(self.proven(way, x) for way in (possible if everything else possible[:1]))
        return proven and (weights is not None or not everything or self._key(x) in self.chosen)

    def _unproven(self, x: Any) -> ExecutionStrategy | None:
        """Return a way that is possible and not proven yet."""
        return next((way for way in GROUPS if self.group(way) and not self.proven(way, x)), None)

    def _used(
        self, strategy: ExecutionStrategy, group: TowerGroup, x: Any, keys: Tensor | None
    ) -> dict[str, Any]:
        try:
            opinions = group(x, keys)
        except Exception as error:  # of any kind: the towers themselves decide what is wrong with x
            if recounted():  # a checkpoint has what it wants, and stops the pass so
                raise
            opinions = self.sequential(x, keys)
            self._blame(strategy, error)
            return opinions
        self.used = strategy
        return opinions

    def _proof(
        self, strategy: ExecutionStrategy, group: TowerGroup, x: Any, keys: Tensor | None
    ) -> dict[str, Any]:
        try:
            with unmoved():
                found: Any = group.trial(x, keys)
        except Exception as error:  # as in `run`
            found = error
        watch = Watch(list(self.towers.values()))
        wanted = self.sequential(x, keys)
        if isinstance(found, Exception):
            self._blame(strategy, found)
        elif not watch.unchanged():
            self.reasons[strategy] = CHANGES
        elif not agree(found, list(wanted.values())):
            self.reasons[strategy] = "its opinions differ from those of the towers one by one"
        elif (reason := self._misled(found, wanted, x)) is not None:
            self.reasons[strategy] = reason
        else:
            self._proven.add((strategy, kind(x)))
        return wanted

    def _misled(self, found: Any, wanted: Any, x: Any) -> str | None:
        """Return what is wrong with the gradients of opinions; None if nothing is, or none are wanted."""
        learnt = dict.fromkeys(e for tower in self.towers.values() for e in tower.parameters())
        leaves: list[Tensor] = [*learnt, *(each for each in tree_leaves(x) if isinstance(each, Tensor))]
        leaves = [each for each in leaves if each.requires_grad]
        if not torch.is_grad_enabled() or not leaves:
            return None
        right = gradients(list(wanted.values()), leaves)
        try:
            same = agree(gradients(found, leaves), right, max(map(largest, right)), MISLED)
        except Exception as error:  # of any kind: what can be computed together may have no gradient there
            return str(error).partition("\n")[0] or type(error).__name__
        return None if same else "its gradients differ from those of the towers one by one"

    def _blame(self, strategy: ExecutionStrategy, error: Exception) -> None:
        self.reasons[strategy] = str(error).partition("\n")[0] or type(error).__name__
        self.stale = self.stale or isinstance(error, MovedApartError)

    def _key(self, x: Any) -> Hashable:
        return kind(x), tuple(tuple(each.shape) for each in tree_leaves(x) if isinstance(each, Tensor))

    def _choice(self, x: Any, keys: Tensor | None, deterministic: bool) -> ExecutionStrategy:
        """Return what AUTO stands for; while a way is not proven, that one."""
        tensors = [each for each in tree_leaves(x) if isinstance(each, Tensor)]
        if deterministic and tensors:
            return by_size(sum(each.numel() for each in tensors), tensors[0].device.type)
        unproven = self._unproven(x)
        if unproven is not None:
            return unproven
        ways = {way: group for way in GROUPS if (group := self.group(way)) is not None}
        key = self._key(x)
        if key not in self.chosen:
            self.chosen[key] = fastest(self.towers, ways, x, keys) if ways else ExecutionStrategy.SEQUENTIAL
        return self.chosen[key]


def one_by_one(towers: Mapping[str, nn.Module], x: Any, keys: Tensor | None) -> dict[str, Any]:
    """Return the opinion of each tower.

    Parameters
    ----------
    towers
        The towers by name.
    x
        Their input.
    keys
        What their dropouts draw from, int64 [N]; None: from torch's own generator, if there are any.
    """
    if keys is None:
        return {name: tower(x) for name, tower in towers.items()}
    opinions = {}
    for key, (name, tower) in zip(keys, towers.items(), strict=True):
        with chance.Streams(key).of(key):
            opinions[name] = tower(x)
    return opinions
