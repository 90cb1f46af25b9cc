"""What is known about one form of calling a module."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from torch import nn

from organisms.towers.compile.call import Form
from organisms.towers.compile.program import Bound, Program
from organisms.towers.compile.stage import Stage
from organisms.towers.wide.groups.stack import Stack
from organisms.towers.wide.groups.watch import Watch

NOTHING = "no modules in it can be computed together"


class Found:
    """What is known about one form of calling a module; it holds until the module changes.

    Parameters
    ----------
    module
        The module.
    form
        How it is called.
    options
        Those of ``torch.compile``; None: nothing is compiled.
    stacks
        Stacks that may hold parameters of its stages already.
    """

    def __init__(
        self,
        module: nn.Module,
        form: Form,
        options: Mapping[str, Any] | None,
        stacks: Sequence[Stack] = (),
    ) -> None:
        self.form, self.module, self._watch = form, module, Watch([module])
        self.reason: str | None = None
        self.program: Program | None = None
        self.bound: Bound | None = None
        self.proven: set[Hashable] = set()
        try:
            self.program = Program(module, form)
        except Exception as error:  # of any kind: what cannot be listed or copied is called as it is
            self.reason = str(error).partition("\n")[0] or type(error).__name__
            return
        if self.program.paths:
            self.bound = self.program.of(module, options, stacks)
        else:
            self.reason = NOTHING

    def holds(self) -> bool:
        """Whether the module is still what it was."""
        stale = self.bound is not None and any(each.stale for each in self.bound.executors)
        return not stale and self._watch.unchanged()

    def settle(self, reason: str) -> None:
        """Take the module as it is now, to be called as it is from here on, unless there was a reason already."""
        self.reason = self.reason or reason
        self._watch = Watch([self.module])

    def stacks(self) -> list[Stack]:
        """Return what holds the parameters of its stages."""
        executors = [] if self.bound is None else self.bound.executors
        return [each.stack for each in executors if each.stack is not None]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages; none if operations cannot be listed."""
        return () if self.program is None else self.program.stages
