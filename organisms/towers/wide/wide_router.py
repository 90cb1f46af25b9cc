"""Wide routers: many towers of one input, computed together."""

from typing import Any, Self

import torch
from torch import nn

from kernels.untraced import untraced
from organisms.towers.component import Device
from organisms.towers.router import BaseRouter
from organisms.towers.tower import BaseTower
from organisms.towers.wide import reports
from organisms.towers.wide.cache_devices import CacheDeviceController
from organisms.towers.wide.executor import Executor
from organisms.towers.wide.gradients import GradientDebugger
from organisms.towers.wide.groups import streams as chance
from organisms.towers.wide.plan import Plan
from organisms.towers.wide.registration import attached_towers, check_all, check_registered, check_tower
from organisms.towers.wide.strategy import ExecutionStrategy, named

KEPT = 4  # plans


class WideRouter(BaseRouter):
    """A router whose towers, grouped by their structure, are computed group by group.

    Parameters
    ----------
    name
        What people call it.
    auto_discover
        Whether a tower that is attached is registered.
    execution_strategy
        How groups are computed: `ExecutionStrategy`, or its value.
    gradient_debug_level
        What `gradient_report` tells, as `GradientDebugger` takes it.
    cache_preservation_policy
        What becomes of caches in `network_to`, as `CacheDeviceController` takes it.
    strict, seed
        As `BaseRouter` takes them.

    Raises
    ------
    ValueError
        If the strategy, the level or the policy is not known.
    """

    batches_towers = True

    def __init__(
        self,
        name: str,
        *,
        auto_discover: bool = True,
        execution_strategy: ExecutionStrategy | str = ExecutionStrategy.VMAP,
        gradient_debug_level: int = 0,
        cache_preservation_policy: str = "clear",
        strict: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(name, strict=strict, seed=seed)
        self.auto_discover = auto_discover
        self.execution_strategy = execution_strategy
        self.gradient_debugger = GradientDebugger(gradient_debug_level)
        self.cache_controller = CacheDeviceController(cache_preservation_policy)
        self.ensemble_weights = nn.ParameterDict()
        self._registered: list[str] = []
        self._plans: list[Plan] = []  # such as one for training and one for evaluation, the last one first
        self._options: dict[str, Any] | None = None

    @property
    def execution_strategy(self) -> ExecutionStrategy:
        """How groups are computed; may be set, also to a value such as "auto"."""
        return self._strategy

    @execution_strategy.setter
    def execution_strategy(self, value: ExecutionStrategy | str) -> None:
        self._strategy = named(value)

    @property
    def tower_names(self) -> list[str]:
        """The names of the registered towers in the order of their opinions."""
        return list(self._registered)

    @property
    def towers(self) -> dict[str, BaseTower]:
        """The registered towers by name."""
        return {name: self[name] for name in self._registered}

    def attach(self, name: str, value: Any) -> None:
        """Keep a value under a name, as `BaseRouter.attach` does; towers are registered if `auto_discover` says so."""
        super().attach(name, value)
        if self.auto_discover and isinstance(value, BaseTower):
            self.register_tower(name)

    def detach(self, name: str) -> Any:
        """Remove what was attached under a name, and return it; a tower is registered no more."""
        value = super().detach(name)
        if name in self._registered:
            self.unregister_tower(name)
        return value

    def register_tower(self, name: str) -> None:
        """Let `wide_forward` ask an attached tower too; registering it twice changes nothing.

        Raises
        ------
        ValueError
            If nothing of the name is attached, or it is no tower.
        """
        check_tower(self, name)
        if name not in self._registered:
            self._registered.append(name)
            self._plans = []

    def unregister_tower(self, name: str) -> None:
        """Leave a tower out of `wide_forward`; it stays attached.

        Raises
        ------
        ValueError
            If it is not registered.
        """
        check_registered(self, name, self._registered)
        self._registered.remove(name)
        self._plans = []

    def discover_towers(self) -> list[str]:
        """Register every tower that is attached, and return the names of all registered ones."""
        for name in attached_towers(self):
            self.register_tower(name)
        return self.tower_names

    def analyze_structure(self) -> dict[str, Any]:
        """Group the towers by structure anew, and return the names of each group and why some stay by themselves."""
        self._plans = []
        plan = self._current()
        return {"groups": plan.names(), "reasons": plan.reasons()}

    def wide_forward(self, x: Any, generator: torch.Generator | None = None) -> dict[str, Any]:
        """Return the opinion of each registered tower on x, by name, in the order of registration.

        They may be slices of one tensor: none is to be changed in place.

        Parameters
        ----------
        x
            The input of every tower.
        generator
            What the towers' dropouts draw from, on the CPU; None: torch's own. Each tower gets a stream of its own,
            the same under every strategy.

        Raises
        ------
        ValueError
            If no tower is registered.
        """
        return self._wide(x, generator, ensemble=False)

    def wide_forward_ensemble(self, x: Any, generator: torch.Generator | None = None) -> dict[str, Any]:
        """Return what `wide_forward` does, by a `SubEnsembleGroup` wherever both of its ways have been built.

        Parameters
        ----------
        x, generator
            As `wide_forward` takes them.
        """
        return self._wide(x, generator, ensemble=True)

    def build_sub_ensembles(self) -> list[str]:
        """Make the weights of a `SubEnsembleGroup` for every group that can have one; return the names of these.

        Optimizers made before do not know the weights.
        """
        plan = self._current()
        for executor in plan.executors:
            first = next(iter(executor.towers))
            known = first in self.ensemble_weights
            if not known and executor.ensemble(nn.Parameter(torch.zeros(2))) is not None:
                like = next(self.components[first].parameters(), torch.zeros(()))
                self.ensemble_weights[first] = nn.Parameter(like.new_zeros(2))
        return list(self.ensemble_weights)

    def compile(self, *, build_sub_ensembles: bool = False, **options: Any) -> Any:
        """Return a callable that computes what this router's forward does, compiled by ``torch.compile``.

        Each group is compiled by itself, as a function of its stack, and what is around the groups with them. Groups
        that are computed one by one or drop something, and what a strategy is proven by, are not compiled.

        Parameters
        ----------
        build_sub_ensembles
            Whether to do that first.
        **options
            Those of ``torch.compile``; `fullgraph` is that of each group.
        """
        self.prepare_for_compile(build_sub_ensembles=build_sub_ensembles)
        self._options, self._plans = options, []
        return torch.compile(self, **{key: value for key, value in options.items() if key != "fullgraph"})

    def prepare_for_compile(
        self, execution_strategy: ExecutionStrategy | str | None = None, build_sub_ensembles: bool = False
    ) -> dict[str, Any]:
        """Do what a compiler cannot follow, and return what `analyze_structure` does.

        Parameters
        ----------
        execution_strategy
            A new one; None: as it is.
        build_sub_ensembles
            Whether to do that too.
        """
        if execution_strategy is not None:
            self.execution_strategy = execution_strategy
        found = self.analyze_structure()
        if build_sub_ensembles:
            self.build_sub_ensembles()
        return found

    def prepare_and_compile(self, *, build_sub_ensembles: bool = False, **options: Any) -> Any:
        """Return what `compile` does, which prepares what it needs, and whose arguments it takes."""
        return self.compile(build_sub_ensembles=build_sub_ensembles, **options)

    def gradient_report(self) -> str:
        """Return the norms of the towers' gradients, and what is wrong with them, for people to read."""
        return self.gradient_debugger.report(self.towers)

    def check_fusion_health(self) -> dict[str, Any]:
        """Return for each group that is computed by wide primitives its fused share and its towers' anomalies."""
        return reports.health(self._executors())

    def validate_cache_devices(self) -> list[str]:
        """Return a sentence for each cached tensor that is on another device than its router."""
        return self.cache_controller.mismatches(self)

    def get_fusion_coverage(self) -> dict[str, dict[str, float] | None]:
        """Return how many operations of each group are fused; None where wide primitives are not used."""
        return reports.coverage(self._executors())

    def get_wide_stats(self) -> dict[str, Any]:
        """Return the groups with what computed them last, what AUTO has chosen, and why a way was not possible."""
        return {
            "towers": len(self._registered),
            "execution_strategy": self.execution_strategy.value,
            "sub_ensembles": len(self.ensemble_weights),
            **reports.stats(self._executors()),
        }

    def clear_tower_caches(self) -> None:
        """Forget the cached tensors of the registered towers and of what they hold."""
        for tower in self.towers.values():
            tower.cache_clear_recursive()

    def network_to(
        self, device: Device | None = None, dtype: torch.dtype | None = None, clear_cache: bool = True
    ) -> Self:
        """Move everything, as `BaseRouter.network_to` does; caches by the policy of `cache_controller`.

        Parameters
        ----------
        device, dtype
            Where to, and to what; None: as it is.
        clear_cache
            Whether the policy is applied to the caches; False: they stay as they are.
        """
        if clear_cache:
            self.cache_controller.move(self, device, dtype)
        return super().network_to(device, dtype, clear_cache=False)

    @untraced
    def _wide(self, x: Any, generator: torch.Generator | None, ensemble: bool) -> dict[str, Any]:
        plan = self._current()
        draws = plan.drops or generator is not None
        keys = chance.keys(len(self._registered), generator) if draws else None
        weights = dict(self.ensemble_weights.items()) if ensemble else {}
        deterministic = torch.are_deterministic_algorithms_enabled()
        return plan.run(self.execution_strategy, x, keys, deterministic, weights)

    def _current(self) -> Plan:
        """Return the plan for the towers as they are; a few are kept, because modes change to and fro."""
        towers = [self.components._modules.get(name) for name in self._registered]  # as they are now
        held = next((each for each in self._plans if each.holds(towers)), None)
        if held is None:
            check_all(self, self._registered)
            stacks = [stack for plan in self._plans for stack in plan.stacks()]
            held = Plan(self.towers, self._options, stacks)
            self._plans = self._plans[: KEPT - 1]
        self._plans = [held, *(each for each in self._plans if each is not held)]
        return held

    def _executors(self) -> list[Executor]:
        return self._current().executors if self._registered else []

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_plans": []}  # it is made anew, from the copies

    def extra_repr(self) -> str:
        """Return name, strategy and number of towers, as ``print`` shows them."""
        return f"{super().extra_repr()}, strategy={self.execution_strategy.value}, towers={len(self._registered)}"
