"""Settings of routers that change while a model trains: temperature, noise and capacity."""

from collections.abc import Iterator

from torch import nn

from organisms.experts.config import RouterConfig
from organisms.experts.routing.router import BaseRouter


def routers(model: nn.Module) -> Iterator[BaseRouter]:
    """Yield the routers of a model in the order of its layers."""
    return (module for module in model.modules() if isinstance(module, BaseRouter))


def set_routing(model: nn.Module, **settings: float) -> None:
    """Set some settings of all routers of a model to other values, from their next forward pass on.

    A router's configuration is replaced by one with these values, which are checked as ever; nothing else of the router
    or its parameters changes. So schedules are closures of the caller's:
    ``set_routing(model, temperature=1.5 - 0.5 * step / steps)``.

    Parameters
    ----------
    model
        Whose modules are looked through.
    settings
        By the names that they have in `RouterConfig`, such as ``temperature``, ``noise_std`` or ``capacity_factor``.

    Raises
    ------
    ValueError
        If a value is not allowed, or there is no such setting; no router has changed then.
    """
    found = [(router, changed(router.config, **settings)) for router in routers(model)]
    for router, config in found:
        router.config = config


def changed(config: RouterConfig, **settings: float) -> RouterConfig:
    """Return a router's configuration with other values of some settings, checked.

    Raises
    ------
    ValueError
        If a value is not allowed, or there is no such setting.
    """
    return RouterConfig.model_validate({**config.model_dump(), **settings})
