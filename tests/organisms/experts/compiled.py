"""A layer under `torch.compile`, whose graph may break, and which computes what it computes without, bit for bit.

Run by test_compiled.py in a process of its own, without the checks of shapes, which cannot be traced. By hand:

    python -m pytest -n 0 --noconftest -p no:logging tests/organisms/experts/compiled.py
"""

import pytest
import torch

from organisms.experts.config import MoEConfig, RouterConfig
from organisms.experts.feed_forward import build_moe
from organisms.layers.config import ExpertConfig
from tests.organisms.layers.definitions import D, H, drawn

# What torch's compiler does to tensors and functions that it meets is none of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning"),
]


def results(layer, x, change, generator):
    """Outputs, metrics and every gradient."""
    layer.zero_grad()
    leaf = x.clone().requires_grad_()
    y, metrics = layer(leaf, None, generator)
    torch.autograd.backward([y, metrics["aux_total"]], [change, torch.ones_like(metrics["aux_total"])])
    named = metrics | {"y": y, "x": leaf.grad} | {name: each.grad for name, each in layer.named_parameters()}
    return {name.removeprefix("_orig_mod."): each.detach() for name, each in named.items()}


@pytest.mark.parametrize(
    ("dtype", "mode", "router_type"),
    [  # every dtype, mode and router
        (torch.float32, "sorted", "topk"),
        (torch.float64, "indices", "expert_choice"),
        (torch.float16, "sorted", "bias"),
        (torch.bfloat16, "dense", "sinkhorn"),
    ],
)
def test_a_compiled_layer_computes_what_it_computes_without(dtype, mode, router_type):
    torch.compiler.reset()
    router = RouterConfig(n_experts=3, router_type=router_type, dispatch_mode=mode)
    layer = build_moe(MoEConfig(d_model=D, router=router, expert=ExpertConfig(d_hidden=H, dropout=0.2))).to(
        dtype
    )
    x, change = drawn(2, 5, D).to(dtype), drawn(2, 5, D, seed=1).to(dtype)
    wanted, found = (
        results(each, x, change, torch.Generator().manual_seed(3))
        for each in (layer, torch.compile(layer, backend="eager"))
    )
    assert wanted.keys() == found.keys()
    assert [name for name, each in wanted.items() if not torch.equal(each, found[name])] == []
