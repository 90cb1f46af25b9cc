"""Whether towers are still what they were when they were grouped; asked before every forward pass, so it is brief.

Nearly all of it is done by functions of C over flat lists.
"""

from collections import UserDict
from collections.abc import Callable, Sequence
from itertools import chain
from operator import is_, itemgetter
from typing import Any, TypeAlias

from torch import nn
from torch.utils.hooks import RemovableHandle

from organisms.towers.wide.groups.signature import HOOKS, PLAIN, frozen, settings

Attributes: TypeAlias = dict[str, Any]


class Watch:
    """Modules, parameters, buffers, modes, settings and hooks of some towers at one moment.

    Parameters
    ----------
    towers
        What is watched.
    """

    def __init__(self, towers: Sequence[nn.Module]) -> None:
        modules = [module for tower in towers for module in tower.modules()]
        owned: list[dict[str, Any]] = [
            kind for each in modules for kind in (each._modules, each._parameters, each._buffers)
        ]
        self._sized = [*owned, *(each.__dict__ for each in modules)]
        self._owning = [kind for kind in owned if kind]
        self._plain: list[tuple[Callable[[Attributes], Any], Attributes]] = []
        self._empty: list[tuple[Attributes, str, Any]] = []
        self._others: list[tuple[Attributes, str]] = []
        for each in modules:
            plain = [key for key, value in settings(each) if _is_plain(value)]
            self._plain.append((itemgetter(*plain), each.__dict__))  # at least the mode
            for key, value in settings(each):
                if _is_empty(value):
                    self._empty.append((each.__dict__, key, value))
                elif not _is_plain(value):
                    self._others.append((each.__dict__, key))
        self._hooks = [getattr(each, kind) for each in modules for kind in HOOKS]
        self._handles = RemovableHandle.next_id
        self._sizes, self._owned = self._now_sizes(), list(self._now_owned())
        self._hooked, self._values = self._now_hooked(), self._now_values()

    def unchanged(self) -> bool:
        """Whether all is as it was; the numbers in parameters and buffers may be others."""
        same = self._now_sizes() == self._sizes and all(map(is_, self._now_owned(), self._owned))
        try:
            return same and self._same_hooks() and self._now_values() == self._values
        except KeyError:  # one attribute has taken the place of another
            return False

    def _same_hooks(self) -> bool:
        """Whether hooks are what they were; where there were none, torch counts those that any module has got since."""
        handles = RemovableHandle.next_id
        if handles == self._handles and not any(self._hooked):
            return True
        self._handles = handles
        return self._now_hooked() == self._hooked

    def _now_sizes(self) -> list[int]:
        return list(map(len, self._sized))

    def _now_owned(self) -> chain[Any]:
        return chain.from_iterable(map(dict.values, self._owning))

    def _now_hooked(self) -> list[int]:
        return list(map(len, self._hooks))

    def _now_values(self) -> tuple[list[Any], ...]:
        return (
            [get(held) for get, held in self._plain],
            [frozen(held[key]) for held, key in self._others],
            [held[key] is value and not value for held, key, value in self._empty],
        )


def _is_plain(value: Any) -> bool:
    """Whether a value can only be replaced, not changed, and says by itself whether it has been."""
    return isinstance(value, PLAIN) or (
        type(value) is tuple and all(isinstance(each, PLAIN) for each in value)
    )


def _is_empty(value: Any) -> bool:
    return isinstance(value, dict | list | UserDict) and not value
