import inspect

import pytest
from pydantic import ValidationError

from organisms.experts import config as module
from organisms.experts.config import BlockConfig, ModelConfig, MoEConfig, RouterConfig
from organisms.layers.config import ExpertConfig

DOCUMENTED = {
    RouterConfig: {
        "router_type": "sinkhorn",
        "n_experts": 16,
        "k": 2,
        "capacity_factor": 1.25,
        "temperature": 1.0,
        "noise_type": "gumbel",
        "noise_std": 0.3,
        "router_dropout_prob": 0.05,
        "z_loss_weight": 1e-3,
        "load_balance_weight": 1e-2,
        "entropy_weight": 0.0,
        "margin_weight": 0.0,
        "dispatch_mode": "indices",
        "use_router_ln": True,
        "use_rms_norm": True,
        "renorm_after_drops": True,
        "sinkhorn_n_iter": 5,
        "sinkhorn_tau": 0.7,
        "sinkhorn_topk": 8,
    },
    ExpertConfig: {
        "expert_type": "ffn",
        "d_model": 768,
        "d_hidden": 3072,
        "activation": "swiglu",
        "dropout": 0.1,
        "bias": True,
        "init": "scaled_xavier",
        "grouped_gemm": True,
        "checkpoint_experts": False,
    },
    ModelConfig: {"aux_weight": 1e-2},
}
SECTIONS = [
    kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__name__.endswith("Config")
]


@pytest.mark.parametrize("section", DOCUMENTED)
def test_names_and_defaults_are_the_documents_except_where_a_line_says_so(section):
    values = section().model_dump()
    for name, documented in DOCUMENTED[section].items():
        said = "Differs from the document" in section.model_fields[name].description
        assert (values[name] != documented) == said, name


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_described_and_no_value_can_be_changed_or_made_up(section):
    leaves = [field for field in section.model_fields.values() if field.annotation not in SECTIONS]
    assert all(field.description for field in leaves)
    name = next(iter(section.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section(), name, 1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        section(unknown=1)


def test_a_configuration_survives_being_written_and_read():
    config = ModelConfig.model_validate(
        {"n_layers": 2, "block": {"moe": {"d_model": 128, "router": {"k": 1}, "expert": {"d_hidden": 512}}}}
    )
    assert config.block.moe.expert.d_model == 128
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_experts_take_the_width_of_their_layer():
    assert MoEConfig(d_model=64).expert.d_model == 64
    assert MoEConfig(d_model=64, expert=ExpertConfig(d_hidden=9)).expert == ExpertConfig(
        d_model=64, d_hidden=9
    )
    with pytest.raises(ValidationError, match="d_model of the experts must be that of the layer, 64, not 32"):
        MoEConfig(d_model=64, expert=ExpertConfig(d_model=32))
    with pytest.raises(ValidationError, match=r"1 validation error(.|\n)*greater than or equal to 1"):
        MoEConfig(d_model=0, expert=ExpertConfig(d_model=32))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_experts": 4, "k": 5}, "k must be at most n_experts, 4, not 5"),
        ({"k": 0}, "greater than or equal to 1"),
        ({"capacity_factor": 0.0}, "greater than 0"),
        ({"temperature": float("nan")}, "finite"),
        ({"temperature": 0.0}, "greater than or equal to 0.000001"),
        ({"sinkhorn_tau": 1e-40}, "greater than or equal to 0.000001"),
        ({"noise_std": -0.1}, "greater than or equal to 0"),
        ({"noise_std": 1e300}, "less than or equal to 1000000"),
        ({"router_dropout_prob": 0.1, "k": 1}, "second-best expert: k must be 2; with k 1 set it to 0"),
        ({"router_type": "sinkhornn"}, "package.module:Name, not 'sinkhornn'; did you mean 'sinkhorn'?"),
        ({"router_type": "package.module"}, "or an import path"),
    ],
)
def test_a_router_that_cannot_be_is_one_sentence(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        RouterConfig(**options)


def test_a_block_that_heads_do_not_fit_is_one_sentence():
    with pytest.raises(ValidationError, match="n_heads must divide d_model, 100, evenly, which 8 does not"):
        BlockConfig(moe=MoEConfig(d_model=100))
