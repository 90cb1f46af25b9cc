import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.config import MoEConfig, RouterConfig
from organisms.experts.dispatch.all_experts import by_computing_all
from organisms.experts.dispatch.expert_ffn import ExpertFFN
from organisms.experts.feed_forward import build_moe
from organisms.layers.config import ExpertConfig


@given(
    tokens=st.integers(1, 9),
    n_experts=st.integers(1, 5),
    activation=st.sampled_from(["gelu", "relu", "silu", "swiglu", "geglu", "reglu"]),
    bias=st.booleans(),
    data=st.data(),
)
def test_all_experts_weighted_are_the_dispatched_ones(tokens, n_experts, activation, bias, data):
    k = data.draw(st.integers(1, n_experts))
    router = RouterConfig(n_experts=n_experts, k=k, use_router_ln=data.draw(st.booleans()))
    config = MoEConfig(
        d_model=6, router=router, expert=ExpertConfig(d_hidden=7, activation=activation, bias=bias)
    )
    moe = build_moe(config, generator=torch.Generator().manual_seed(3)).eval()
    x = torch.randn(tokens, 6, generator=torch.Generator().manual_seed(tokens))
    with torch.no_grad():
        weights = moe.router(x).combine_weights
        found = by_computing_all(x, weights, moe.experts.matrices())
        wanted, _ = moe(x.unsqueeze(0))
    assert torch.allclose(found, wanted[0], rtol=0, atol=1e-5)


def test_it_is_the_sum_over_experts_by_definition():
    config = ExpertConfig(d_model=5, d_hidden=3, activation="relu")
    experts = ExpertFFN(config, 4, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for each in experts.parameters():
            each.normal_(generator=torch.Generator().manual_seed(1))
    x, weights = torch.randn(6, 5, dtype=torch.float64), torch.rand(6, 4, dtype=torch.float64)
    wanted = torch.zeros(6, 5, dtype=torch.float64)
    for expert in range(4):
        hidden = (x @ experts.W1[expert] + experts.b1[expert]).relu()
        wanted += weights[:, expert, None] * (hidden @ experts.W2[expert] + experts.b2[expert])
    assert torch.allclose(by_computing_all(x, weights, experts.matrices()), wanted)
