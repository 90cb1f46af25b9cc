"""Small routers and tokens, drawn from numbered generators."""

import torch

from organisms.experts.config import ROUTERS, RouterConfig
from organisms.experts.routing.build import build_router

WIDTH = 12
NAMES = tuple(ROUTERS)
BY_TOKENS = tuple(name for name in NAMES if name != "expert_choice")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def small_router(name="topk", seed=1, **options):
    """A router in training whose logits are a few nats apart."""
    options = {"n_experts": 8, "init_scale": 2.0, **options}
    return build_router(RouterConfig(router_type=name, **options), WIDTH, generator=generator(seed))
