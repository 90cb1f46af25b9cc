"""What draws from a caller's generator has right gradients under torch's activation checkpointing, or says that not."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from organisms.experts.block import TransformerBlock
from organisms.experts.config import BlockConfig, MoEConfig, RouterConfig
from organisms.experts.dispatch.expert_ffn import ExpertFFN
from organisms.experts.feed_forward import build_moe
from organisms.experts.routing.build import build_router
from organisms.layers.config import AttentionConfig, ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from tests.organisms.layers.definitions import drawn

WIDTH = 4
DROPPING = ExpertConfig(d_model=WIDTH, d_hidden=6, dropout=0.5)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def moe_config(**router):
    return MoEConfig(
        d_model=WIDTH, router=RouterConfig(n_experts=3, **router), expert=ExpertConfig(d_hidden=6)
    )


def of_layer(**router):
    moe = build_moe(moe_config(**router)).double()
    return lambda x, generator: moe(x, None, generator)[0]


def of_frozen_router():
    """The experts' gradients follow from the numbers, but the router has none."""
    moe = build_moe(moe_config(noise_type="gumbel")).double()
    moe.router.requires_grad_(False)
    return lambda x, generator: moe(x.detach(), None, generator)[0]


def of_router(metric):
    def made():
        config = RouterConfig(n_experts=3, noise_type="gaussian", router_dropout_prob=0.5)
        router = build_router(config, WIDTH, generator=stream()).double()

        def found(x, generator):
            info = router(x.flatten(0, 1), None, generator)
            return info.metrics["aux_total"] if metric else info.weights

        return found

    return made


def of_block():
    config = BlockConfig(moe=moe_config(), attention=AttentionConfig(n_heads=2), dropout=0.5)
    block = TransformerBlock(config, stream()).double()
    return lambda x, generator: block(x, None, generator)[0]


def of_dense():
    dense = DenseFFN(DROPPING, stream()).double()
    return lambda x, generator: dense(x, generator)


def of_experts():
    experts = ExpertFFN(DROPPING, 2, stream()).double()
    return lambda x, generator: experts(x.flatten(0, 1), generator=generator)


DRAWING = {
    "gumbel noise": lambda: of_layer(noise_type="gumbel"),
    "gaussian noise": lambda: of_layer(noise_type="gaussian"),
    "router dropout": lambda: of_layer(router_dropout_prob=0.5),
    "noise of a frozen router": of_frozen_router,
    "weights of a router": of_router(metric=False),
    "losses of a router": of_router(metric=True),
    "dropout of a block": of_block,
    "dropout of a dense network": of_dense,
    "dropout of experts": of_experts,
}
every_draw = pytest.mark.parametrize("made", DRAWING.values(), ids=DRAWING)


@every_draw
def test_gradients_by_numbers_that_the_forward_pass_did_not_draw_are_refused(made):
    x = drawn(2, 6, WIDTH).requires_grad_()
    y = checkpoint(made(), x, stream(), use_reentrant=False)
    # Torch itself refuses what has another number of rows, as after router dropout.
    with pytest.raises(
        RuntimeError, match=r"drew other noise or dropout than its forward pass did|Recomputed values"
    ):
        y.sum().backward()


@every_draw
def test_a_generator_that_is_made_each_time_gives_the_gradients_of_the_plain_layer(made):
    function, x = made(), drawn(2, 6, WIDTH).requires_grad_()
    y, again = function(x, stream()), checkpoint(lambda x: function(x, stream()), x, use_reentrant=False)
    assert torch.equal(y, again)
    wanted, found = (torch.autograd.grad(each.square().sum(), x, allow_unused=True)[0] for each in (y, again))
    assert (wanted is None and found is None) or torch.equal(wanted, found)


def test_functional_gradients_are_those_of_autograd():
    function, x = of_dense(), drawn(2, 6, WIDTH).requires_grad_()
    (wanted,) = torch.autograd.grad(function(x, stream()).square().sum(), x)
    found = torch.func.grad(lambda x: function(x, stream()).square().sum())(x.detach())
    torch.testing.assert_close(found.detach(), wanted)


def test_a_generator_that_is_not_drawn_from_may_move_on():
    function, x, generator = of_layer(), drawn(2, 6, WIDTH).requires_grad_(), stream()
    y = checkpoint(function, x, generator, use_reentrant=False)
    torch.rand(1, generator=generator)
    (found,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(found, torch.autograd.grad(function(x, None).sum(), x)[0])
