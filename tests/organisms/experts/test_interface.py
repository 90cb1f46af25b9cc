"""The names that a user of the published library takes from it, and what else the package exports."""

import inspect
import subprocess
import sys
from textwrap import dedent

import pytest
import torch

import organisms.experts

# Named by the document, and part of a model or of what makes one; its training loop and server are not in here.
DOCUMENTED = {
    *("RouterConfig", "ExpertConfig", "MoEConfig", "BlockConfig", "ModelConfig"),
    *("BaseRouter", "TopKRouter", "SinkhornRouter", "RoutingInfo"),
    *("ExpertFFN", "DenseFFN", "MoEFeedForward", "MoESequenceRegressor", "build_moe"),
    *("RoPE", "RMSNorm", "scaled_init_"),
}


def test_the_documents_names_are_exported():
    assert set(organisms.experts.__all__) >= DOCUMENTED
    assert set(dir(organisms.experts)) >= DOCUMENTED


def test_torch_is_loaded_by_what_computes_and_by_no_configuration():
    code = dedent("""
        import sys
        import organisms.experts
        from organisms.experts import MoEConfig
        dir(organisms.experts)
        assert "torch" not in sys.modules
        from organisms.experts import build_moe
        assert "torch" in sys.modules
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", organisms.experts.__all__)
def test_each_name_is_that_of_what_it_stands_for_and_is_described(name):
    value = getattr(organisms.experts, name)
    assert value.__name__ == name
    assert value.__module__.startswith(("organisms.experts.", "organisms.layers."))
    assert inspect.getdoc(value)


def test_a_name_that_is_not_there_names_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'MoeConfig'; .* did you mean 'MoEConfig'"):
        _ = organisms.experts.MoeConfig


def test_the_documents_first_example_runs():
    from organisms.experts import ExpertConfig, MoEConfig, RouterConfig, build_moe

    config = MoEConfig(
        d_model=512,
        router=RouterConfig(n_experts=8, k=2, router_type="topk"),
        expert=ExpertConfig(d_model=512, d_hidden=2048, activation="swiglu"),
    )
    x = torch.randn(4, 16, 512, generator=torch.Generator().manual_seed(0))
    output, metrics = build_moe(config)(x)
    assert output.shape == x.shape
    torch.testing.assert_close(metrics["expert_utilization"].sum(), torch.tensor(1.0))
