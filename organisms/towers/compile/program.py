"""A module's operations with its stages computed together, and what computes them for the module or a copy of it."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from kernels.untraced import untraced
from organisms.towers.compile.call import Call, Form
from organisms.towers.compile.readers import Calls, path_of
from organisms.towers.compile.staging import staged
from organisms.towers.wide.executor import Executor
from organisms.towers.wide.groups.stack import Stack
from organisms.towers.wide.strategy import ExecutionStrategy


class Program:
    """One form of calling a module.

    Parameters
    ----------
    module
        The module.
    form
        How it is called.

    Raises
    ------
    UnbatchableError
        If its operations cannot be listed.
    """

    def __init__(self, module: nn.Module, form: Form) -> None:
        found = staged(module, form)
        self.form, self.stages, self.opaque = form, found.stages, found.listing.opaque
        self.paths = [[path_of(call) for call in calls] for calls in found.together]
        self.graph = joined(found.listing.graph, found.together)

    def of(
        self, module: nn.Module, options: Mapping[str, Any] | None = None, stacks: Sequence[Stack] = ()
    ) -> "Bound":
        """Return the program for a module or a copy of it.

        Parameters
        ----------
        module
            The module.
        options
            Those of ``torch.compile``; None: nothing is compiled.
        stacks
            Stacks that may hold parameters of its stages already.
        """
        return Bound(self, module, options, stacks)


class Bound:
    """A program and the module whose parameters it uses.

    Parameters
    ----------
    program, module, options, stacks
        As `Program.of` takes them.
    """

    def __init__(
        self,
        program: Program,
        module: nn.Module,
        options: Mapping[str, Any] | None,
        stacks: Sequence[Stack],
    ) -> None:
        made = {
            paths: Executor({path: module.get_submodule(path) for path in paths}, None, options, stacks)
            for paths in dict.fromkeys(tuple(sorted(each)) for each in program.paths)
        }
        self.executors = list(made.values())
        self._stages = [(made[tuple(sorted(paths))], paths) for paths in program.paths]
        self._run: Any = fx.GraphModule(Call(module, program.form), program.graph)
        if options is not None:
            self._run = torch.compile(self._run, **options)

    def __call__(self, strategy: ExecutionStrategy, tensors: Sequence[Tensor]) -> Any:
        """Return what the module gives for the tensors of a call."""
        return self._run([Step(*each, strategy) for each in self._stages], tensors)


class Step:
    """A stage in one strategy: what its modules give for the value that all read, in their order.

    Parameters
    ----------
    executor
        What computes them.
    paths
        Their names in it.
    strategy
        How it is computed.
    """

    def __init__(self, executor: Executor, paths: Sequence[str], strategy: ExecutionStrategy) -> None:
        self._executor, self._paths, self._strategy = executor, paths, strategy

    @untraced
    def __call__(self, x: Any) -> list[Any]:
        """Return the values of the modules for x."""
        none = torch.zeros(len(self._executor.towers), dtype=torch.int64)  # nothing is dropped
        deterministic = torch.are_deterministic_algorithms_enabled()
        found = self._executor.run(self._strategy, x, none, deterministic)
        return [found[path] for path in self._paths]


def joined(graph: fx.Graph, together: Sequence[Calls]) -> fx.Graph:
    """Return the graph, a function of steps and tensors, with one step in the place of the calls of each stage."""
    first = next(iter(graph.nodes))
    with graph.inserting_before(first):
        steps = graph.placeholder("steps")
    for number, calls in enumerate(together):
        with graph.inserting_before(calls[0]):
            step = graph.call_function(operator.getitem, (steps, number))
            values = graph.call_function(step_of, (step, calls[0].args[0]))
            for place, call in enumerate(calls):
                call.replace_all_uses_with(graph.call_function(operator.getitem, (values, place)))
        for call in calls:
            graph.erase_node(call)
    graph.lint()
    return graph


def step_of(step: Step, x: Any) -> list[Any]:
    """Return the values of a step for x."""
    return step(x)
