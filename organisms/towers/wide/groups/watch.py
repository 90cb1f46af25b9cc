"""Whether towers are still what they were when they were grouped; asked before every forward pass, so it is brief."""

from collections.abc import Sequence
from operator import is_
from typing import Any

from torch import nn

from organisms.towers.wide.groups.signature import HOOKS, PLAIN, frozen, settings


class Watch:
    """Modules, parameters, buffers, modes, settings and hooks of some towers at one moment.

    Parameters
    ----------
    towers
        What is watched.
    """

    def __init__(self, towers: Sequence[nn.Module]) -> None:
        self._modules = [module for tower in towers for module in tower.modules()]
        keys = [(module, key, value) for module in self._modules for key, value in settings(module)]
        plain = [(module, key) for module, key, value in keys if isinstance(value, PLAIN)]
        self._plain = [(module.__dict__, key) for module, key in plain]
        self._others = [(m.__dict__, key) for m, key, value in keys if not isinstance(value, PLAIN)]
        self._hooks = [getattr(module, hooks) for module in self._modules for hooks in HOOKS]
        self._owned, self._values = self._now_owned(), self._now_values()

    def unchanged(self) -> bool:
        """Whether all is as it was; the numbers in parameters and buffers may be others."""
        owned = self._now_owned()
        return (
            len(owned) == len(self._owned)
            and all(map(is_, owned, self._owned))
            and self._now_values() == self._values
        )

    def _now_owned(self) -> list[Any]:
        return [
            each
            for module in self._modules
            for kind in (module._modules, module._parameters, module._buffers)
            for each in kind.values()
        ]

    def _now_values(self) -> tuple[list[Any], ...]:
        return (
            [d.get(key) for d, key in self._plain],
            [frozen(d.get(key)) for d, key in self._others],
            [len(each) for each in self._hooks],
            [len(module.__dict__) for module in self._modules],
        )
