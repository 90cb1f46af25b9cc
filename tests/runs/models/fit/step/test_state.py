import pytest
import torch
from torch import nn

from runs.errors import RunError
from runs.models.config import OptimConfig
from runs.models.fit.step.groups import parameter_groups
from runs.models.fit.step.precision import scaler
from runs.models.fit.step.state import packed, restore


def trained(steps, width=3):
    torch.manual_seed(0)
    model = nn.Linear(width, 2)
    optimizer = torch.optim.AdamW(parameter_groups(model, OptimConfig()))
    for step in range(steps):
        model(torch.full((1, width), step + 1.0)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_an_optimizer_goes_on_as_if_nothing_had_been():
    model, optimizer = trained(3)
    half = scaler(torch.device("cpu"), "fp16")
    half.load_state_dict({**half.state_dict(), "scale": 8.0, "_growth_tracker": 5})
    other, fresh = trained(0)
    again = scaler(torch.device("cpu"), "fp16")
    restore(packed(optimizer, half, model), fresh, again, other)
    assert again.state_dict() == half.state_dict()
    for each, moments in ((model, optimizer), (other, fresh)):
        each(torch.ones(1, 3)).sum().backward()
        moments.step()
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: {**found, "moments.exp_avg.strange": torch.zeros(2)},
        lambda found: {**found, "moments.exp_avg.weight": torch.zeros(7, 7)},
        lambda found: {**found, "parameters.weight": torch.zeros(7, 7)},
        lambda found: {name: each for name, each in found.items() if name != "parameters.bias"},
        lambda found: {**found, "scaler.strange": torch.zeros(())},
    ],
)
def test_the_state_of_another_training_is_told(change):
    model, optimizer = trained(1)
    exact = scaler(torch.device("cpu"), "none")
    found = change(packed(optimizer, exact, model))
    with pytest.raises(RunError, match="the state of this training is that of another one: ") as caught:
        restore(found, *trained(0)[1:], exact, model)
    assert "\n" not in str(caught.value)
