"""The routers, one file each, and how one is built by its name or import path."""

import importlib
import inspect

import torch

from organisms.experts.config import ROUTERS, RouterConfig
from organisms.experts.routing.router import Router


def router_class(router_type: str) -> type[Router]:
    """Give the class of a name or import path.

    Raises
    ------
    ValueError
        If the import path leads to no subclass of `Router` that says how it chooses.
    """
    path = ROUTERS.get(router_type, router_type)
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"router_type is {path!r}, which cannot be imported: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, Router)) or inspect.isabstract(found):
        raise ValueError(
            f"router_type is {path!r}, but must name a subclass of {Router.__module__}:Router that has a choose"
        )
    return found


def build_router(config: RouterConfig, d_model: int, *, generator: torch.Generator) -> Router:
    """Build the router that ``config.router_type`` names.

    Parameters
    ----------
    config
        Its options, the name or import path among them.
    d_model
        Width of the tokens, D.
    generator
        What its weights are drawn from, on the CPU.

    Raises
    ------
    ValueError
        If there is no such router, or it cannot do what the options ask.
    """
    return router_class(config.router_type)(config, d_model, generator=generator)
