"""Groups of parameters: main, routers and experts, each with a learning rate, and with weight decay or without."""

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from organisms.experts.dispatch.expert_ffn import ExpertFFN
from organisms.experts.routing.router import BaseRouter
from organisms.flow.router import ContextAwareFlowRouter
from organisms.layers.norms import RMSNorm
from organisms.towers.fusion.component import FusionComponent
from organisms.towers.tower import BaseTower
from organisms.towers.walkers.fusion import WalkerFusion
from runs.models.config import OptimConfig

MAIN, ROUTER, EXPERT = GROUPS = ("main", "router", "expert")
# What decides who is heard, and who is heard, wherever a library has such modules. Heads of pseudopods are neither:
# nothing routes to them.
ROUTERS = (BaseRouter, ContextAwareFlowRouter, FusionComponent, WalkerFusion)
EXPERTS = (ExpertFFN, BaseTower)
NORMS = (RMSNorm, nn.RMSNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
# By name, because stacked biases have two dimensions, and tables of symbols are plain parameters in our libraries.
UNDECAYED = re.compile(r"(\w+_)?(bias|b\d+)|norm\w*|embed\w*|position\w*|decays")


def parameter_groups(model: nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """Return the groups of a model's trainable parameters, as an optimizer takes them; none is empty.

    Each has ``name`` (main, router or expert), ``names`` (of its parameters), ``params``, ``lr`` and ``weight_decay``.
    A module within a router is the router's, whatever else it is. Nothing decays that has one dimension or none, or is
    a bias, of a norm or an embedding.
    """
    roles = _roles(model)
    rates = {MAIN: optim.lr_main, ROUTER: optim.lr_router, EXPERT: optim.lr_expert}
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter, decays in _trainable(model):
        role = roles.get(id(parameter), MAIN)
        group = groups.setdefault(
            (role, decays),
            {
                "name": role,
                "names": [],
                "params": [],
                "lr": rates[role],
                "weight_decay": optim.weight_decay if decays else 0.0,
            },
        )
        group["names"].append(name)
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups, key=lambda key: (GROUPS.index(key[0]), not key[1]))]


def _roles(model: nn.Module) -> dict[int, str]:
    """Return the role of each parameter that is in a router or an expert, by identity."""
    roles: dict[int, str] = {}
    for kinds, role in ((EXPERTS, EXPERT), (ROUTERS, ROUTER)):
        for module in model.modules():
            if isinstance(module, kinds):
                roles |= dict.fromkeys(map(id, module.parameters()), role)
    return roles


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Yield name and parameter of all that is trained, once each, and whether it decays."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                decays = (
                    parameter.ndim > 1
                    and not isinstance(module, (*NORMS, nn.Embedding))
                    and not UNDECAYED.fullmatch(name)
                )
                yield f"{path}.{name}" if path else name, parameter, decays
