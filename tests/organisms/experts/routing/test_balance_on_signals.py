"""A small sequence regressor learns the task `signals`: with balancing, every expert finds something to do."""

from functools import cache

import pytest
import torch

from organisms.experts.config import ModelConfig
from organisms.experts.models import MoESequenceRegressor
from organisms.experts.routing.bias import update_biases
from runs import tasks
from runs.config.sections import TaskConfig

STEPS, BATCH, RATE = 300, 32, 3e-3
WAYS = {
    "nothing": {"load_balance_weight": 0.0, "z_loss_weight": 0.0},
    "aux loss": {},
    "bias": {"router_type": "bias", "load_balance_weight": 0.0},
}


@cache
def signals():
    return tasks.load(TaskConfig(name="signals"))


def model(n_experts, way):
    router = {"n_experts": n_experts, "k": 2} | WAYS[way]
    moe = {"d_model": 32, "router": router, "expert": {"d_hidden": 32}}
    block = {"moe": moe, "attention": {"n_heads": 2}}
    config = ModelConfig.model_validate({"n_layers": 1, "block": block})
    return MoESequenceRegressor(config, torch.Generator().manual_seed(0))


def trained(n_experts, way):
    """The loads of the experts over the validation split, as shares of the mean, and the loss there."""
    task, regressor = signals(), model(n_experts, way)
    stream = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(regressor.parameters(), lr=RATE)
    settling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    inputs, targets = torch.from_numpy(task.train.inputs), torch.from_numpy(task.train.targets)
    for _ in range(STEPS):
        rows = torch.randint(len(inputs), (BATCH,), generator=stream)
        predicted, metrics = regressor(inputs[rows])
        optimizer.zero_grad()
        ((predicted - targets[rows]).square().mean() + metrics["aux_total"]).backward()
        optimizer.step()
        settling.step()
        if way == "bias":
            update_biases(regressor, metrics["expert_demand"], settling.get_last_lr()[0] / RATE)
    with torch.no_grad():
        predicted, metrics = regressor.eval()(torch.from_numpy(task.validation.inputs))
        loss = (predicted - torch.from_numpy(task.validation.targets)).square().mean()
    return n_experts * metrics["expert_utilization"][0], float(loss)


@pytest.mark.long
@pytest.mark.parametrize("n_experts", [8, 16])
@pytest.mark.parametrize("way", ["aux loss", "bias"])
def test_no_expert_is_left_under_a_quarter_of_the_mean_load(way, n_experts):
    loads, loss = trained(n_experts, way)
    shares = " ".join(f"{load:.2f}" for load in loads)
    print(f"{way}, {n_experts} experts, loss {loss:.4f}; loads: {shares}")  # noqa: T201 - shown by -s and on failure
    assert loads.min() > 0.25
    assert loss < 0.06  # to say the last value again costs 0.14


@pytest.mark.long
def test_without_balancing_some_are():
    loads, _ = trained(16, "nothing")
    assert loads.min() < 0.25
