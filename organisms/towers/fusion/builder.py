"""Fusions by the names of their strategies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from kernels import arguments
from organisms.towers.fusion.adaptive import AdaptiveFusion
from organisms.towers.fusion.attention import AttentionFusion
from organisms.towers.fusion.binding import AdaptiveBindingFusion
from organisms.towers.fusion.cantor import CantorScaleFusion
from organisms.towers.fusion.collective import FusionCollective
from organisms.towers.fusion.component import FusionComponent
from organisms.towers.fusion.concat import ConcatFusion
from organisms.towers.fusion.gated import GatedFusion
from organisms.towers.fusion.sum import SumFusion
from organisms.towers.fusion.tree import HierarchicalTreeGating

STRATEGIES: Mapping[str, type[FusionComponent]] = MappingProxyType(
    {
        "adaptive": AdaptiveFusion,
        "gated": GatedFusion,
        "attention": AttentionFusion,
        "concat": ConcatFusion,
        "sum": SumFusion,
        "binding": AdaptiveBindingFusion,
        "cantor": CantorScaleFusion,
        "tree": HierarchicalTreeGating,
    }
)


@dataclass(frozen=True, slots=True)
class FusionBuilder:
    """Builds one fusion, or a collective of several, for opinions of one size.

    ``FusionBuilder("fusion", 3, 256).add("adaptive").add("attention", num_heads=4).build()``

    Parameters
    ----------
    name
        Name of what is built.
    num_inputs, in_features
        As of `FusionComponent`.
    seed
        What parameters are drawn from, together with names.
    chosen
        Strategies and their options, as `add` collects them.
    """

    name: str
    num_inputs: int
    in_features: int
    seed: int | None = None
    chosen: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def add(self, strategy: str, **options: Any) -> "FusionBuilder":
        """Return a builder with one strategy more, a name in `STRATEGIES`, and the options of its class.

        Raises
        ------
        ValueError
            If there is no such strategy, or it is in already.
        """
        arguments.one_of("strategy", strategy, tuple(STRATEGIES))
        if strategy in dict(self.chosen):
            raise ValueError(f"strategy {strategy!r} is in fusion {self.name!r} already: add each once")
        return replace(self, chosen=(*self.chosen, (strategy, options)))

    def build(self) -> FusionComponent:
        """Return the fusion of the only strategy, or a `FusionCollective` of all.

        Raises
        ------
        ValueError
            If no strategy was added, or one refuses its options.
        """
        if not self.chosen:
            raise ValueError(
                f"fusion {self.name!r} has no strategy: add one of {', '.join(STRATEGIES)} before build"
            )
        if len(self.chosen) == 1:
            return self._made(self.name, *self.chosen[0])
        fusions = {
            strategy: self._made(f"{self.name}_{strategy}", strategy, options)
            for strategy, options in self.chosen
        }
        return FusionCollective(self.name, fusions, seed=self.seed)

    def _made(self, name: str, strategy: str, options: Mapping[str, Any]) -> FusionComponent:
        return STRATEGIES[strategy](name, self.num_inputs, self.in_features, seed=self.seed, **options)
