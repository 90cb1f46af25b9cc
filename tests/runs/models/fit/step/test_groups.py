import pytest
import torch
from torch import nn

from runs import tasks
from runs.models.architectures import build
from runs.models.config import OptimConfig
from runs.models.fit.step.groups import parameter_groups
from runs.models.signature import Signature
from tests.fixtures.small_trainings import SIZES, small

OPTIM = OptimConfig(lr_main=0.3, lr_router=0.2, lr_expert=0.1, weight_decay=0.05)


def groups_of(kind):
    config = small(model__kind=kind)
    signature = Signature.of(tasks.load(config.data))
    model = build(signature, config.model, torch.Generator().manual_seed(0))
    return model, parameter_groups(model, OPTIM)


@pytest.mark.parametrize("kind", SIZES)
def test_every_parameter_is_in_one_group_under_its_own_name(kind):
    model, groups = groups_of(kind)
    named = dict(model.named_parameters())
    found = [
        (name, each) for group in groups for name, each in zip(group["names"], group["params"], strict=True)
    ]
    assert sorted(name for name, _ in found) == sorted(named)
    assert all(each is named[name] for name, each in found)
    assert all(group["lr"] == getattr(OPTIM, f"lr_{group['name']}") for group in groups)


@pytest.mark.parametrize(
    ("kind", "role", "parts"),
    [
        ("experts", "router", ("router.",)),
        ("experts", "expert", ("experts.",)),
        ("flow", "router", ("router.",)),
        ("towers", "router", ("fusion.",)),
        ("towers", "expert", ("tower_",)),
    ],
)
def test_routers_and_experts_are_found_by_their_modules(kind, role, parts):
    model, groups = groups_of(kind)
    found = {name for group in groups if group["name"] == role for name in group["names"]}
    assert found == {name for name, _ in model.named_parameters() if any(part in name for part in parts)}
    assert found


@pytest.mark.parametrize("kind", ["transformer", "pseudopods"])
def test_a_model_without_either_has_one_rate(kind):
    assert {group["name"] for group in groups_of(kind)[1]} == {"main"}


@pytest.mark.parametrize("kind", SIZES)
def test_biases_norms_and_embeddings_do_not_decay(kind):
    _, groups = groups_of(kind)
    kept = {name for group in groups if not group["weight_decay"] for name in group["names"]}
    decaying = {name for group in groups if group["weight_decay"] for name in group["names"]}
    assert not {name for name in decaying if "norm" in name or "bias" in name or "embed" in name}
    assert not {name for name in decaying if name.endswith((".b1", ".b2"))}
    assert {name for name in kept if name.endswith("embed")}
    assert decaying


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.read = nn.Linear(3, 4)
        self.read.weight = self.table.weight
        self.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
        self.norm = nn.LayerNorm((2, 3))


def test_a_tied_parameter_is_trained_once_and_a_fixed_one_never():
    (group,) = parameter_groups(Tied(), OPTIM)
    assert group["names"] == ["table.weight", "read.bias", "norm.weight", "norm.bias"]
    assert group["weight_decay"] == 0
