"""A module as a wide router: what is computed together in it are its towers."""

from typing import TYPE_CHECKING, Any

from torch import nn

from organisms.towers.tower import BaseTower
from organisms.towers.wide.executor import Executor
from organisms.towers.wide.strategy import ExecutionStrategy
from organisms.towers.wide.wide_router import WideRouter

if TYPE_CHECKING:
    from organisms.towers.compile.compile_router import CompileRouter


class ModuleTower(BaseTower):
    """A tower that is one module.

    Parameters
    ----------
    name
        What people call it.
    module
        Any module of one input.
    """

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__(name)
        self.attach("module", module)

    def forward(self, x: Any) -> Any:
        """Return what the module makes of x."""
        return self["module"](x)


class CompiledWideRouter(WideRouter):
    """What `CompileRouter.build_wide_router` returns: it computes what the module does.

    Its towers are named by the paths of their modules, with slashes, behind the name of the module; they share their
    parameters with the module, so that `state_dict` names these twice and `parameters` once. `wide_forward` asks all
    towers about one input, if all can read it.

    Parameters
    ----------
    compiler
        The module and its stages.
    execution_strategy
        How stages are computed; None: as the compiler says.
    options
        Further ones of `WideRouter`.
    """

    def __init__(
        self,
        compiler: "CompileRouter",
        *,
        execution_strategy: ExecutionStrategy | str | None = None,
        **options: Any,
    ) -> None:
        strategy = compiler.execution_strategy if execution_strategy is None else execution_strategy
        super().__init__(f"{compiler.name}_wide", execution_strategy=strategy, **options)
        self.attach("compiler", compiler)
        paths = [path for stage in compiler.compile_towers() if stage.batched for path in stage.paths]
        for path in paths:
            name = f"{compiler.name}/{path}".replace(".", "/")
            self.attach(name, ModuleTower(name, compiler.module.get_submodule(path)))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module gives.

        Parameters
        ----------
        args, kwargs
            Those of the module.
        """
        self["compiler"].execution_strategy = self.execution_strategy
        return self["compiler"](*args, **kwargs)

    def compile(self, *, build_sub_ensembles: bool = False, **options: Any) -> Any:
        """Return this router with stages that are compiled, as `CompileRouter.compile` does.

        Parameters
        ----------
        build_sub_ensembles
            Whether to do that first.
        options
            Those of ``torch.compile``.
        """
        if build_sub_ensembles:
            self.build_sub_ensembles()
        self["compiler"].compile(**options)
        return self

    def _executors(self) -> list[Executor]:
        return self["compiler"].executors()
