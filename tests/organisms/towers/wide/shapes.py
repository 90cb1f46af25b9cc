"""Collectives of random shapes, and what one pass leaves behind, to compare strategies on."""

import copy

import torch
from hypothesis import strategies as st
from torch import nn

from organisms.towers import BaseTower, ExecutionStrategy, TorchComponent, WideRouter
from tests.organisms.towers.blocks import CachingTower, FFNBlock, SimpleTower

BATCHED = [ExecutionStrategy.VMAP, ExecutionStrategy.WIDE_COMPILER]


class Normed(BaseTower):
    """A batch norm, a bare parameter, and a method that asks for shapes."""

    def __init__(self, name, dim):
        super().__init__(name)
        self.append(FFNBlock(f"{name}_ffn", dim))
        self.attach("norm", nn.BatchNorm1d(dim))
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, dim))

    def forward(self, x):
        y = self["norm"](self.stages[0](x).reshape(-1, x.shape[-1]))
        return (self.scale * y).view(x.size())


class Tied(BaseTower):
    """One map used twice, and two maps with one weight."""

    def __init__(self, name, dim):
        super().__init__(name)
        self.append(FFNBlock(f"{name}_ffn", dim, expansion=1))
        self[0].fc2.weight = self[0].fc1.weight
        self.attach("again", self[0].fc1)

    def forward(self, x):
        return self["again"](torch.sin(self[0](x)))


class Attentive(BaseTower):
    """Attention over the rows, whose weights are not asked for."""

    class Block(TorchComponent):
        def __init__(self, name, dim):
            super().__init__(name)
            self.norm = nn.LayerNorm(dim)
            self.attn = nn.MultiheadAttention(dim, 1, batch_first=True)

        def forward(self, x):
            y = self.norm(x)
            return x + self.attn(y, y, y)[0]

    def __init__(self, name, dim):
        super().__init__(name)
        self.append(self.Block(f"{name}_block", dim))

    def forward(self, x):
        return self[0](x.reshape(-1, x.shape[-2], x.shape[-1])).view_as(x)


class Nested(BaseTower):
    """A tower as a stage of a tower, behind what does not depend on parameters."""

    def __init__(self, name, dim):
        super().__init__(name)
        self.append(CachingTower(f"{name}_inner", dim, depth=1))
        self.append(FFNBlock(f"{name}_ffn", dim))

    def forward(self, x):
        return super().forward(torch.tanh(x) + 1) * 0.5


KINDS = {
    "plain": lambda name, dim: SimpleTower(name, dim),
    "deep": lambda name, dim: SimpleTower(name, dim, depth=3),
    "dropping": lambda name, dim: SimpleTower(name, dim, depth=1, dropout=0.4),
    "normed": Normed,
    "tied": Tied,
    "attentive": Attentive,
    "nested": Nested,
}


def collective(kinds, dim, dtype=torch.float64, frozen=(), strategy=ExecutionStrategy.SEQUENTIAL):
    """A collective of towers of some kinds, with the same numbers whenever it is made."""
    router = WideRouter("wide", execution_strategy=strategy)
    for at, kind in enumerate(kinds):
        router.attach(f"tower_{at}", KINDS[kind](f"tower_{at}", dim))
    source = torch.Generator().manual_seed(len(kinds))
    for at, each in enumerate(router.parameters()):
        each.data = torch.randn(each.shape, generator=source, dtype=torch.float64).mul_(0.3).to(dtype)
        each.requires_grad_(at not in frozen)
    return router.to(dtype)


def with_strategy(router, strategy):
    other = copy.deepcopy(router)
    other.execution_strategy = strategy
    return other


def inputs(shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def passed(router, x, passes=2):
    """Opinions, gradients, buffers and caches after some passes: in the first one a way is only proven."""
    source = torch.Generator().manual_seed(7)
    for _ in range(passes):
        leaf = x.clone().requires_grad_()
        router.zero_grad()
        opinions = router.wide_forward(leaf, source)
        sum((each * weights(each)).sum() for each in opinions.values()).backward()
    caches = {
        f"{path} {key}": each.cache_get(key).detach()
        for path, each in router.routers()
        for key in each.cache_keys()
    }
    left = {
        **{f"opinion {name}": each.detach() for name, each in opinions.items()},
        **{f"grad {name}": each.grad for name, each in router.named_parameters() if each.grad is not None},
        **dict(router.named_buffers()),
        **caches,
        "grad x": leaf.grad,
    }
    return {name: each.clone() for name, each in left.items()}


def weights(opinion):
    """Numbers that tell every output from every other one."""
    return torch.arange(opinion.numel(), dtype=opinion.dtype).cos().view_as(opinion)


@st.composite
def cases(draw):
    """Kinds of towers, their width, the shape of the input, and the numbers of frozen parameters."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3, unique=True))
    towers = [kind for kind in kinds for _ in range(draw(st.integers(1, 3)))]
    shape = (*draw(st.sampled_from([(1,), (7,), (2, 3), (5, 1)])), draw(st.integers(1, 5)))
    if "normed" in kinds and shape[:-1] == (1,):
        shape = (3, shape[-1])  # a batch norm needs more than one row
    frozen = draw(st.sets(st.integers(0, 12), max_size=4))
    return draw(st.permutations(towers)), shape, frozen
