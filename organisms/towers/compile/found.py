"""What is known about one form of calling a module."""

from collections.abc import Hashable, Mapping
from typing import Any

from torch import nn

from organisms.towers.compile.call import Form
from organisms.towers.compile.program import Bound, Program
from organisms.towers.compile.stage import Stage

NOTHING = "no modules in it can be computed together"


class Found:
    """What is known about one form of calling a module.

    Parameters
    ----------
    module
        The module.
    form
        How it is called.
    options
        Those of ``torch.compile``; None: nothing is compiled.
    """

    def __init__(self, module: nn.Module, form: Form, options: Mapping[str, Any] | None) -> None:
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
            self.bound = self.program.of(module, options)
        else:
            self.reason = NOTHING

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages; none if operations cannot be listed."""
        return () if self.program is None else self.program.stages
