import math

import pytest
import torch

from organisms.experts.routing.settings import routers
from organisms.nn import example_losses
from runs.errors import ConfigError, RunError
from runs.models.evaluation import examples
from runs.models.fit.prepared import prepare
from runs.models.fit.step.trainer import Diverged, Trainer
from runs.models.fit.step.world import World
from tests.fixtures.small_trainings import SIZES, small

ROUTER = "model__experts__block__moe__router__"


def trainer_of(**changes):
    return Trainer(prepare(small(**changes)), World())


def weights(trainer):
    return {name: each.detach().clone() for name, each in trainer.model.state_dict().items()}


def apart(first, second):
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


@pytest.mark.parametrize("kind", SIZES)
def test_accumulated_gradients_are_those_of_the_large_batch(kind):
    """Steps of 16 examples, and a fourth, the last of the epoch, of 2, which are micro-batches of 1, 1 and none."""
    # The load-balancing loss is of a micro-batch and no mean over examples.
    changes = {"model__kind": kind, f"{ROUTER}load_balance_weight": 0.0, "optim__max_grad_norm": None}
    whole = trainer_of(**changes)
    parts = trainer_of(**changes, data__batch_size=4, optim__grad_accum_steps=4)
    for step in range(1, 6):
        one, other = whole.optimise(step), parts.optimise(step)
        assert other.loss == pytest.approx(one.loss, rel=1e-4)
        assert other.norm == pytest.approx(one.norm, rel=1e-3)
    assert apart(weights(whole), weights(parts)) < 1e-4


def test_what_is_measured_of_unequal_micro_batches_is_that_of_the_large_batch():
    parts = trainer_of(model__kind="transformer", data__batch_size=3, optim__grad_accum_steps=3)
    whole = trainer_of(model__kind="transformer", data__batch_size=9)
    assert [len(each) for each in parts.batches.of(6)] == [2, 2, 1]
    found, wanted = parts.optimise(6), whole.optimise(6)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-6)
    assert found.losses == pytest.approx(wanted.losses, rel=1e-6)
    assert found.norm == pytest.approx(wanted.norm, rel=1e-5)
    assert (found.examples, wanted.examples) == (5, 5)


def test_a_step_is_adamws_of_the_plain_gradient():
    trainer = trainer_of(model__kind="transformer", optim__max_grad_norm=None, optim__weight_decay=0.1)
    model = trainer.model
    prepared, reference = trainer.prepared, {}
    chosen = torch.tensor(trainer.batches.of(1)[0].tolist())
    inputs, targets = examples(prepared.signature, prepared.task.train)
    loss = example_losses(prepared.task, model(inputs[chosen])[0], targets[chosen]).mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    rate = 0.01 / 2  # the first of two steps of warm-up
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        decay = 0.0 if parameter.ndim < 2 or "embed" in name else 0.1
        # After one step both moments are the gradient's own.
        moved = gradient / (gradient.abs() + 1e-8)
        reference[name] = parameter.detach() * (1 - rate * decay) - rate * moved
    done = trainer.optimise(1)
    assert done.loss == pytest.approx(loss.item(), rel=1e-5)
    assert done.norm == pytest.approx(
        math.sqrt(sum(float(each.square().sum()) for each in gradients)), rel=1e-4
    )
    assert apart(reference, weights(trainer)) < 1e-4


def test_gradients_are_clipped_to_the_norm_that_is_asked_for():
    free, clipped = trainer_of(optim__max_grad_norm=None), trainer_of(optim__max_grad_norm=1e-9)
    assert free.optimise(1).norm == clipped.optimise(1).norm
    # Clipped to far under AdamW's epsilon, gradients hardly move anything.
    before = weights(clipped)
    clipped.optimise(2)
    assert apart(before, weights(clipped)) < apart(weights(free), before)


def test_the_same_seed_trains_the_same_and_another_one_another():
    def trained(**changes):
        trainer = trainer_of(model__kind="pseudopods", model__pseudopods__dropout=0.3, **changes)
        return [trainer.optimise(step).loss for step in (1, 2)], weights(trainer)

    torch.manual_seed(1)
    first = trained()
    state = torch.get_rng_state()
    torch.manual_seed(2)
    losses, second = trained()
    assert losses == first[0]
    assert apart(first[1], second) == 0
    assert trained(seed=1)[0] != losses
    torch.manual_seed(1)
    trained()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", SIZES)
def test_bfloat16_trains_as_float32_does_but_for_roundings(kind):
    exact, half = trainer_of(model__kind=kind), trainer_of(model__kind=kind, optim__amp_dtype="bf16")
    for step in (1, 2):
        one, other = exact.optimise(step), half.optimise(step)
        assert other.loss == pytest.approx(one.loss, rel=0.05)
        assert abs(other.loss - one.loss) > 0
    assert {each.dtype for each in half.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", SIZES)
def test_float16_leaves_out_steps_until_the_scale_of_its_gradients_fits(kind):
    exact, half = trainer_of(model__kind=kind), trainer_of(model__kind=kind, optim__amp_dtype="fp16")
    before, scales = weights(half), []
    for step in range(1, 12):
        scales.append(half.state()["scaler.scale"].item())
        if (done := half.optimise(step)).norm is not None:
            break
        assert apart(before, weights(half)) == 0
    assert scales == [2.0 ** (16 - number) for number in range(len(scales))]
    assert apart(before, weights(half)) > 0
    assert done.loss == pytest.approx(exact.optimise(step).loss, rel=0.01)  # neither had been trained before


def test_gradients_that_no_scale_makes_finite_are_a_divergence_and_not_left_out_for_ever():
    trainer = trainer_of(model__kind="transformer", optim__amp_dtype="fp16")
    next(trainer.model.parameters()).register_hook(lambda gradient: gradient * math.nan)
    before = weights(trainer)
    for step in range(1, 41):  # from 2^16 to 2^-24
        assert trainer.optimise(step).norm is None
    with pytest.raises(Diverged, match="the gradient of step 41 has the norm nan"):
        trainer.optimise(41)
    assert apart(before, weights(trainer)) == 0


def test_schedules_of_routers_hold_step_by_step_and_while_it_is_evaluated():
    line = {"start": 2.0, "end": 1.0, "steps": 4}
    trainer = trainer_of(sched__temperature=line)
    found = []
    for step in (1, 2, 3):
        trainer.optimise(step)
        found += [router.config.temperature for router in routers(trainer.model)]
    assert found == [2.0, 1.75, 1.5]
    trainer.evaluate(3)
    assert [router.config.temperature for router in routers(trainer.model)] == [1.25]
    assert trainer.routing(3) == {"temperature": 1.25, "noise_std": 0.3, "capacity_factor": 1.25}


def test_biases_follow_the_demand_of_all_micro_batches():
    changes = {f"{ROUTER}router_type": "bias", f"{ROUTER}bias_update_speed": 0.25}
    whole, parts = trainer_of(**changes), trainer_of(**changes, data__batch_size=4, optim__grad_accum_steps=4)
    for trainer in (whole, parts):
        trainer.optimise(1)
    (router,), (other,) = routers(whole.model), routers(parts.model)
    assert torch.equal(router.bias, other.bias)
    assert set(router.bias.abs().tolist()) <= {0.0, 0.125}  # the learning rate is half the largest in step 1
    assert router.bias.any()


def test_losses_and_loads_are_measured():
    done = trainer_of().optimise(1)
    assert done.loss == pytest.approx(done.losses["task"] + done.losses["aux_total"], rel=1e-5)
    assert {"aux_load_balance", "aux_z"} <= set(done.losses)
    ((*shares,),) = done.measured["expert_utilization"]
    assert sum(shares) == pytest.approx(1)
    assert (len(shares), done.examples, done.is_stop) == (4, 16, False)
    assert done.rates == {"main": 0.005, "router": 0.00025, "expert": 0.0005}


def test_the_average_is_what_is_evaluated():
    plain, averaged = trainer_of(), trainer_of(optim__ema_decay=0.9)
    for step in (1, 2):
        assert plain.optimise(step) == averaged.optimise(step)
    assert averaged.kept is averaged.average
    assert averaged.evaluate(2)["loss"] != plain.evaluate(2)["loss"]


def test_a_user_s_own_model_is_trained_from_the_same_seed():
    losses = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        trainer = trainer_of(model__kind="tests.fixtures.own_models:own", model__options={"width": 5})
        losses.append([trainer.optimise(step).loss for step in (1, 2)])
    assert losses[0] == losses[1]
    assert trainer.model.read.weight.shape == (5, 1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("without_metrics", "must return a tensor of outputs and a dictionary of metrics, not a Tensor"),
        (
            "of_another_shape",
            r"outputs of a model of the task 'signals' must be \[16, 8, 1\] for inputs \[16, 8, 1\]",
        ),
        ("with_many_losses", "the metric aux_total of a model must be one number"),
        (
            "failing",
            r"in step 1 the model tests.fixtures.own_models:failing raised KeyError: .* \(own_models.py",
        ),
        ("fixed", "has no parameters that could be trained"),
    ],
)
def test_a_model_that_does_not_do_is_told(name, told):
    with pytest.raises(RunError, match=told):
        trainer_of(model__kind=f"tests.fixtures.own_models:{name}").optimise(1)


def test_data_that_a_model_cannot_read_are_told():
    with pytest.raises(RunError, match="in step 1 the model experts refused its input: capacity_factor"):
        trainer_of(
            **{f"{ROUTER}capacity": "order_agnostic", f"{ROUTER}capacity_factor": 0.001},
        ).optimise(1)


def test_a_loss_that_is_no_number_ends_the_training_and_changes_no_weight():
    trainer = trainer_of(model__kind="tests.fixtures.own_models:exploding")
    for step in (1, 2, 3):
        trainer.optimise(step)
    before = weights(trainer)
    with pytest.raises(Diverged, match="the loss of step 4 is inf"):
        trainer.optimise(4)
    del before["passes"]
    assert apart(before, weights(trainer)) == 0


def test_options_that_do_not_fit_the_task_are_told():
    with pytest.raises(ConfigError, match=r"model.towers does not fit the task 'signals'"):
        trainer_of(model__kind="towers", model__towers__n_heads=2)
