"""Building a router by its name or import path."""

import importlib
import inspect

import torch

from organisms.experts.config import ROUTERS, RouterConfig
from organisms.experts.routing.router import BaseRouter


def router_class(router_type: str) -> type[BaseRouter]:
    """Return the class of a router, by its name in `ROUTERS` or its import path.

    Raises
    ------
    ValueError
        If the import path leads to no subclass of `BaseRouter` that implements `choose`.
    """
    path = ROUTERS.get(router_type, router_type)
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"router_type is {path!r}, which cannot be imported: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, BaseRouter)) or inspect.isabstract(found):
        raise ValueError(
            f"router_type is {path!r}, but must name a subclass of {BaseRouter.__module__}:BaseRouter that has a choose"
        )
    return found


def build_router(config: RouterConfig, d_model: int, *, generator: torch.Generator) -> BaseRouter:
    """Return a new router of the type that ``config.router_type`` names.

    Parameters
    ----------
    config
        Its options, the type among them.
    d_model
        Width of the tokens, D.
    generator
        What its weights are drawn from, on the CPU.

    Raises
    ------
    ValueError
        If there is no such router, or it cannot do what the options ask for.
    """
    return router_class(config.router_type)(config, d_model, generator=generator)
