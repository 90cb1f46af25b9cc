"""Towers of one structure, whose parameters lie in one stack, and which are computed together."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from organisms.towers.wide.groups import streams as chance
from organisms.towers.wide.groups.signature import objection, signature
from organisms.towers.wide.groups.stack import Stack, partly_shared
from organisms.towers.wide.groups.vectorised import UnbatchableError, caching, parts, template

Towers: TypeAlias = Mapping[str, nn.Module] | Sequence[nn.Module]
CHANGES = "its forward pass changes attributes of the tower"

Batch: TypeAlias = tuple[Any, dict[str, dict[str, Any]]]  # opinions and caches, of tensors [N, ...]


class TowerGroup(nn.Module, ABC):
    """N towers of one signature; how they are computed together is a subclass's.

    Called with an input, it returns each tower's opinion by its name. The towers' caches and buffers are then as if
    each had been called by itself.

    Parameters
    ----------
    towers
        At least one, by name or in order; then their own names are taken.
    stack
        Their parameters, if they have been stacked already.

    Raises
    ------
    ValueError
        If there is none, or two have one name or different structures.
    UnbatchableError
        If one has hooks, or tensors that a stack cannot hold.
    """

    def __init__(self, towers: Towers, stack: Stack | None = None) -> None:
        super().__init__()
        named = _named(towers)
        self.names = list(named)
        self.towers = nn.ModuleList(named.values())
        _check(named)
        self.stack = Stack(list(self.towers)) if stack is None else stack
        self.drops = chance.drops(self.towers[0])
        self.template = [template(self.towers[0])]  # in a list, so that it is no submodule
        self._signature = signature(self.template[0])
        self._run = self.batch

    def compile_batch(self, **options: Any) -> None:
        """Compile what computes all towers, by ``torch.compile`` with these options; not where something is dropped."""
        if not self.drops:
            self._run = torch.compile(self.batch, **options)

    @abstractmethod
    def batch(self, values: dict[str, Tensor], streams: chance.Streams | None, x: Any) -> Batch:
        """Return opinions and caches of all towers.

        Parameters
        ----------
        values
            What the stack holds.
        streams
            Where dropout draws from; None: nothing is dropped.
        x
            The input of every tower.
        """

    def forward(self, x: Any, keys: Tensor | None = None) -> dict[str, Any]:
        """Return the opinion of each tower.

        Parameters
        ----------
        x
            The input of every tower.
        keys
            What the towers' dropouts draw from, int64 [N]; None: drawn from torch's own generator.
        """
        values = self.stack.values()
        opinions, caches = self._run(values, self.streams(keys), x)
        self.stack.keep(values)
        self._cache(caches)
        return dict(zip(self.names, parts(opinions, len(self.names)), strict=True))

    def trial(self, x: Any, keys: Tensor | None = None) -> list[Any]:
        """Return the opinions, and leave towers, buffers and caches as they are.

        Nothing is compiled: a compiled graph may refuse to be used twice, as what proves a way by its gradients has to.

        Parameters
        ----------
        x, keys
            As `forward` takes them.

        Raises
        ------
        UnbatchableError
            If a forward pass changes an attribute of its tower.
        """
        opinions, _ = self.batch(self.stack.values(), self.streams(keys), x)
        self.checked_template()
        return parts(opinions, len(self.names))

    def rehearsal(self, x: Any, keys: Tensor | None = None) -> list[Any]:
        """Return what `trial` does, compiled if that has been asked for, and ask no questions: to be timed.

        Parameters
        ----------
        x, keys
            As `forward` takes them.
        """
        opinions, _ = self._run(self.stack.values(), self.streams(keys), x)
        return parts(opinions, len(self.names))

    def checked_template(self) -> nn.Module:
        """Return the tower without numbers that stands for all.

        Raises
        ------
        UnbatchableError
            If a forward pass has changed an attribute of it, which it should have changed in each tower.
        """
        if signature(self.template[0]) != self._signature:
            raise UnbatchableError(CHANGES)
        return self.template[0]

    def streams(self, keys: Tensor | None) -> chance.Streams | None:
        """Return where the towers' dropouts draw from, None if they have none."""
        if not self.drops:
            return None
        return chance.Streams(chance.keys(len(self.names), None) if keys is None else keys)

    def _cache(self, caches: dict[str, dict[str, Any]]) -> None:
        if not caches:
            return
        for tower, cached in zip(self.towers, parts(caches, len(self.names)), strict=True):
            routers = caching(tower)
            for path, tensors in cached.items():
                routers[path]._cache.update(tensors)


def _named(towers: Towers) -> dict[str, nn.Module]:
    named = (
        dict(towers)
        if isinstance(towers, Mapping)
        else {str(getattr(t, "name", i)): t for i, t in enumerate(towers)}
    )
    if not named or len(named) != len(towers):
        raise ValueError(
            f"towers of a group must have names that differ, at least one, but are {list(named)}"
        )
    return named


def _check(towers: Mapping[str, nn.Module]) -> None:
    first = next(iter(towers.values()))
    different = [name for name, each in towers.items() if signature(each) != signature(first)]
    if different:
        raise ValueError(
            f"towers of a group must be of one structure, but {', '.join(different)} differ from {next(iter(towers))}: "
            "a WideRouter sorts them by it"
        )
    reasons = [reason for each in towers.values() if (reason := objection(each))]
    tied = partly_shared(list(towers.values()))
    if reasons or tied:
        raise UnbatchableError(reasons[0] if reasons else f"{tied} is shared with other towers or places")
