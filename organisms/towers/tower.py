"""Towers: routers with ordered stages, whose output is an opinion for others to fuse."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from organisms.towers.identity import BaseComponent
from organisms.towers.router import BaseRouter, check_module


class BaseTower(BaseRouter):
    """A router with an ordered pipeline: ``tower[0]`` is its first stage, ``tower['norm']`` a component by name.

    Stages are components or towers. A raw module as a stage has no name, no parent and no lifecycle: a strict tower
    refuses it, another one warns. What is attached by name may be any module.

    Parameters
    ----------
    name, strict, seed
        As `BaseRouter` takes them.
    """

    def __init__(self, name: str, *, strict: bool = True, seed: int | None = None) -> None:
        super().__init__(name, strict=strict, seed=seed)
        self.stages = nn.ModuleList()

    def append(self, stage: nn.Module) -> None:
        """Add a stage behind the others.

        Raises
        ------
        TypeError
            If it is no module, or a raw one in a strict tower.
        ValueError
            If it is this tower or holds it.
        """
        self.extend([stage])

    def extend(self, stages: Iterable[nn.Module]) -> None:
        """Add stages behind the others, or none if one is refused, as `append` does, or its `on_attach` raises."""
        stages = list(stages)
        raw = [sentence for each in stages if (sentence := self._objection(each))]
        if raw and self.strict:
            raise TypeError(raw[0])
        for sentence in raw:
            warnings.warn(sentence, stacklevel=3)
        before = len(self.stages)
        try:
            for each in stages:
                self.stages.append(each)
                self._welcome(each)
        except BaseException:
            added = list(self.stages)[before:]
            del self.stages[before:]
            for each in added[:-1]:
                self._part_from(each)
            self._release(added[-1])
            raise

    def detach(self, name: str | int) -> Any:
        """Remove a stage by its number, or what was attached by its name, and return it.

        Raises
        ------
        KeyError
            If there is no such name.
        IndexError
            If there is no such stage.
        """
        if isinstance(name, str):
            return super().detach(name)
        stage = self.stages[name]
        del self.stages[name]
        self._part_from(stage)
        return stage

    def children_owned(self) -> Iterator[Any]:
        """Yield all that has been attached: stages, components, objects."""
        yield from self.stages
        yield from super().children_owned()

    def forward(self, x: Any) -> Any:
        """Return what the stages make of x, one after the other; most towers have a forward of their own."""
        for stage in self.stages:
            x = stage(x)
        return x

    def __getitem__(self, name: Any) -> Any:
        """Return a stage by number, a list of them by slice, or what was attached by name."""
        if isinstance(name, slice):
            return list(self.stages)[name]
        return self.stages[name] if isinstance(name, int) else super().__getitem__(name)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def _objection(self, stage: Any) -> str | None:
        if not isinstance(stage, nn.Module):
            raise TypeError(
                f"a stage of tower {self.name!r} must be a module, but is a {type(stage).__name__}"
            )
        check_module(stage, self)
        if isinstance(stage, BaseComponent):
            return None
        return (
            f"stage {type(stage).__name__} of tower {self.name!r} is a raw module: make it part of a TorchComponent or "
            "a tower, or attach it by name"
        )
