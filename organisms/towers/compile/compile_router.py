"""Any module, with those of its modules computed together that can be."""

import sys
from typing import Any, Self, TextIO

import torch
from torch import nn

from kernels.untraced import untraced
from organisms.towers.compile.call import Form, default_form, taken_apart
from organisms.towers.compile.found import Found
from organisms.towers.compile.introspection import Part, parts, unregistered
from organisms.towers.compile.proof import CHANGES, refuted
from organisms.towers.compile.stage import Stage, text
from organisms.towers.compile.wide_module import CompiledWideRouter
from organisms.towers.router import BaseRouter
from organisms.towers.wide.agreement import kind
from organisms.towers.wide.executor import Executor
from organisms.towers.wide.groups.vmap_group import VMapTowerGroup
from organisms.towers.wide.strategy import ExecutionStrategy, named
from organisms.towers.wide.surroundings import RECOUNTED, hindrance, recounted

KEPT = 8  # forms of calls, and modes


class CompileRouter(BaseRouter):
    """A module, and the stages in it: modules of one structure that read the same are computed together.

    Called as the module is, it gives what the module gives, gradients and buffers too. A module's operations are listed
    (torch.fx) for each form of call; parts that cannot be listed are called as they are. Before a program is used for
    a kind of input it is compared with the module, on copies of both. Where nothing can be computed together, or the
    comparison fails, the module itself is called, and `get_compilation_stats` says why. Modes, hooks and settings may
    change at any time: stages are found anew.

    Parameters
    ----------
    name
        What people call it.
    module
        Any module.
    execution_strategy
        How stages are computed: `ExecutionStrategy`, or its value.
    strict, seed
        As `BaseRouter` takes them.

    Raises
    ------
    ValueError
        If it is no module, or there is no such strategy.
    """

    batches_towers = True

    def __init__(
        self,
        name: str,
        module: nn.Module,
        *,
        execution_strategy: ExecutionStrategy | str = ExecutionStrategy.WIDE_COMPILER,
        strict: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(name, strict=strict, seed=seed)
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"module of {name!r} must be a torch.nn.Module, but is a {type(module).__name__}"
            )
        self.execution_strategy = execution_strategy
        self.attach("module", module)
        self._options: dict[str, Any] | None = None
        self._compiled: Any = None
        self._known: list[Found] = []
        self._form: Form | None = None  # of the last call
        self._apart: str | None = None  # why the last call was made as it is, which another need not be

    @classmethod
    def from_module(cls, module: nn.Module, name: str | None = None, **options: Any) -> Self:
        """Return a router for a module.

        Parameters
        ----------
        module
            Any module.
        name
            What people call it; None: as the class of the module.
        options
            Further ones of the class.
        """
        return cls(type(module).__name__ if name is None else name, module, **options)

    @property
    def execution_strategy(self) -> ExecutionStrategy:
        """How stages are computed; may be set, also to a value such as "auto"."""
        return self._strategy

    @execution_strategy.setter
    def execution_strategy(self, value: ExecutionStrategy | str) -> None:
        self._strategy = named(value)

    @property
    def module(self) -> Any:
        """The module."""
        return self["module"]

    def introspect(self) -> tuple[Part, ...]:
        """Return the module and all that it holds, each once with its category."""
        return parts(self.module)

    def compile_towers(self) -> tuple[Stage, ...]:
        """Return the stages of a call like the last one, at first of a tensor for each argument without a default."""
        return self._shown().stages

    def print_stages(self, file: TextIO | None = None) -> None:
        """Write a line for each stage, to `file` or else to the standard output."""
        found = self._shown()
        lines = text(found.stages) if found.program else f"{self.name} is called as it is: {found.reason}"
        (sys.stdout if file is None else file).write(f"{lines}\n")

    def get_compilation_stats(self) -> dict[str, Any]:
        """Return what there is, what is computed together and how, and why all else is not."""
        found, everything = self._shown(), self.introspect()
        categories: dict[str, int] = {}
        for part in everything:
            categories[part.category] = categories.get(part.category, 0) + 1
        return {
            "modules": len(everything),
            "parameters": sum(each.numel() for each in self.module.parameters()),
            "categories": categories,
            "shared": {part.path: list(part.also) for part in everything if part.also},
            "unregistered": list(unregistered(self.module)),
            "stages": [_described(each) for each in found.stages],
            "batched_modules": sum(len(each.paths) for each in found.stages if each.batched),
            "opaque": {} if found.program is None else dict(found.program.opaque),
            "groups": [each.stats() for each in self.executors()],
            "reason": self._apart or found.reason,
        }

    def executors(self) -> list[Executor]:
        """Return what computes the stages that `compile_towers` returns."""
        found = self._shown()
        return [] if found.bound is None else found.bound.executors

    def build_vmap_groups(self) -> dict[str, VMapTowerGroup]:
        """Return a `VMapTowerGroup` for each stage that is computed together, by the paths of its modules."""
        return {
            ", ".join(each.paths): VMapTowerGroup(
                {path: self.module.get_submodule(path) for path in each.paths}
            )
            for each in self.compile_towers()
            if each.batched
        }

    def build_wide_router(self, **options: Any) -> CompiledWideRouter:
        """Return a `WideRouter` that computes what the module does; its towers are what is computed together.

        Parameters
        ----------
        options
            Those of `WideRouter`.
        """
        return CompiledWideRouter(self, **options)

    def compile(self, **options: Any) -> Any:
        """Return this router, which lets ``torch.compile`` compile its stages, and what is between them.

        Parameters
        ----------
        options
            Those of ``torch.compile``. `fullgraph` is left out: the graph breaks at each stage.
        """
        self._options = {key: value for key, value in options.items() if key != "fullgraph"}
        self._compiled, self._known = None, []
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module gives.

        Parameters
        ----------
        args, kwargs
            Those of the module.
        """
        return self._computed(args, kwargs)

    @untraced
    def _computed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        form, tensors = taken_apart(args, kwargs)
        self._form = form
        self._apart = hindrance() or (None if not recounted() or self._settled(form, tensors) else RECOUNTED)
        if self._apart is not None:
            return self.module(*args, **kwargs)
        found = self._found(form)
        if found.program is not None and found.reason is None and kind(tensors) not in found.proven:
            found.reason = refuted(found.program, self.module, tensors)
            found.proven.add(kind(tensors))
        if found.bound is None or found.reason is not None:
            outputs = self._plain()(*args, **kwargs)
        else:
            outputs = found.bound(self.execution_strategy, tensors)
        if not found.holds():  # which is the work of this call
            found.settle(CHANGES)
        return outputs

    def _settled(self, form: Form, tensors: Any) -> bool:
        """Whether a call tries nothing out."""
        held = self._held(form)
        return held is not None and (
            held.program is None or held.reason is not None or kind(tensors) in held.proven
        )

    def _shown(self) -> Found:
        return self._found(self._form or default_form(self.module))

    def _held(self, form: Form) -> Found | None:
        known = (each for each in self._known if each.module is self.module and each.form.key == form.key)
        return next((each for each in known if each.holds()), None)

    def _found(self, form: Form) -> Found:
        """Return what is known about a form and the module as it is; a few are kept, since modes change to and fro."""
        held = self._held(form)
        if held is None:
            stacks = [stack for each in self._known for stack in each.stacks()]
            held = Found(self.module, form, self._options, stacks)
        self._known = [held, *(each for each in self._known if each is not held)][:KEPT]
        return held

    def _plain(self) -> Any:
        """Return the module as it is, compiled if that has been asked for."""
        if self._options is None:
            return self.module
        if self._compiled is None:
            self._compiled = [torch.compile(self.module, **self._options)]  # in a list: it is no submodule
        return self._compiled[0]

    def __getstate__(self) -> dict[str, Any]:
        # What is known is found anew, of the copies.
        return {**super().__getstate__(), "_known": [], "_compiled": None, "_form": None}


def compile_module(module: nn.Module, name: str | None = None, **options: Any) -> CompileRouter:
    """Return a `CompileRouter` of a module whose stages have been found.

    Parameters
    ----------
    module, name, options
        As `CompileRouter.from_module` takes them.
    """
    router = CompileRouter.from_module(module, name, **options)
    router.compile_towers()
    return router


def _described(stage: Stage) -> dict[str, Any]:
    return {
        "modules": list(stage.paths),
        "kind": stage.kind,
        "category": stage.category,
        "batched": stage.batched,
        "reason": stage.reason,
    }
