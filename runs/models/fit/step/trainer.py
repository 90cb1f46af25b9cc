"""A model that is being trained: what one optimizer step does to it, and what is measured of it."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from organisms.experts.routing.bias import BiasRouter, update_biases
from organisms.experts.routing.settings import routers, set_routing
from organisms.nn import example_losses
from organisms.task import Split
from runs.errors import RunError
from runs.models import evaluation
from runs.models.architectures import build
from runs.models.fit.prepared import Prepared
from runs.models.fit.step import average, precision, state
from runs.models.fit.step.answers import answered, blamed, loss_parts, seeded
from runs.models.fit.step.batches import Batches
from runs.models.fit.step.groups import parameter_groups
from runs.models.fit.step.schedules import SETTINGS, learning_rate_factor, routing
from runs.models.fit.step.world import World, unsynchronised
from runs.models.options import ARCHITECTURES

# Of the models' metrics: those that are kept for each layer, and those of which the mean over layers is.
BY_LAYER = ("expert_utilization", "pattern_utilization")
MEANS = ("fraction_dropped_tokens", "fraction_dropped_choices", "gate_entropy", "pattern_entropy")
HUGE = 1e6  # no parameter of a network that learns is so large
SMALLEST = 2.0**-24  # of float16: what overflows with this scale is no matter of scales
_STOP = "stop"


class Diverged(RunError):
    """The loss or the gradient is no finite number any more."""


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one optimizer step.

    Parameters
    ----------
    loss
        What was minimised, of the step's examples before the step.
    losses
        Its parts by name, without weights.
    rates
        Learning rates by group.
    norm
        Euclidean norm of the gradient before it was clipped; None: float16 overflowed, and the step was left out.
    measured
        Metrics of the routers: numbers, or lists [L, E].
    examples
        How many there were.
    is_stop
        Whether a process of those that train was asked to stop.
    """

    loss: float
    losses: Mapping[str, float]
    rates: Mapping[str, float]
    norm: float | None
    measured: Mapping[str, Any]
    examples: int
    is_stop: bool


class Trainer:
    """Model, optimizer, average and scaler of a training; every process has them alike.

    Parameters
    ----------
    prepared
        Configuration, data and device.
    world
        The processes that train it.

    Raises
    ------
    ConfigError
        If the options do not fit the task.
    """

    def __init__(self, prepared: Prepared, world: World) -> None:
        config = prepared.config
        self.prepared, self.world, self.config = prepared, world, config
        self.is_own = config.model.kind not in ARCHITECTURES
        self.model = self._built()
        self.average = None if config.optim.ema_decay is None else self._built()
        self._parallel = world.parallel(self.model, prepared.device, some_unused=self.is_own)
        groups = parameter_groups(self.model, config.optim)
        if not groups:
            raise RunError(f"the model {config.model.kind} has no parameters that could be trained")
        self.optimizer = torch.optim.AdamW(groups, betas=config.optim.betas)
        self._highest = [group["lr"] for group in self.optimizer.param_groups]
        self._scaler = precision.scaler(prepared.device, config.optim.amp_dtype)
        self._factor, self._routing = learning_rate_factor(config.sched), routing(config.sched)
        self.batches = Batches(
            config.seed,
            len(prepared.task.train),
            config.data.batch_size,
            config.optim.grad_accum_steps * world.size,
        )

    @property
    def kept(self) -> nn.Module:
        """The module that is evaluated and kept: of the averaged parameters, where there is an average."""
        return self.model if self.average is None else self.average

    def optimise(self, step: int, stop: Callable[[], bool] = bool) -> Step:
        """Train on the examples of a step, which count from 1.

        Parameters
        ----------
        step
            Which one.
        stop
            Whether this process was asked to stop, of which the others learn here; called after the backward pass.

        Raises
        ------
        Diverged
            If the loss or the gradient is not finite; parameters are as before.
        RunError
            If the model refuses its input, or returns something else than it should.
        """
        optim = self.config.optim
        self.model.train()
        set_routing(self.model, **self._routing(step - 1))
        parts = self.batches.of(step)
        found = self._gradients(step, parts)
        sums = self.world.sum(found | {_STOP: torch.tensor(float(stop()), device=self.prepared.device)})
        loss = float(sums["loss"])
        if not math.isfinite(loss):
            self.optimizer.zero_grad()
            raise Diverged(f"the loss of step {step} is {loss}")
        self._scaler.unscale_(self.optimizer)
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, optim.max_grad_norm or math.inf))
        if not math.isfinite(norm) and not (
            self._scaler.is_enabled() and self._scaler.get_scale() > SMALLEST
        ):
            self.optimizer.zero_grad()
            raise Diverged(f"the gradient of step {step} has the norm {norm}")
        factor = self._factor(step)
        for group, highest in zip(self.optimizer.param_groups, self._highest, strict=True):
            group["lr"] = factor * highest
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()
        if "expert_demand" in sums and any(isinstance(each, BiasRouter) for each in routers(self.model)):
            update_biases(self.model, sums["expert_demand"], factor)
        if self.average is not None and optim.ema_decay is not None:
            average.update(self.average, self.model, average.decay_at(optim.ema_decay, step))
        return Step(
            loss,
            {name.partition(":")[2]: float(each) for name, each in sums.items() if name.startswith("loss:")},
            {group["name"]: group["lr"] for group in self.optimizer.param_groups},
            norm if math.isfinite(norm) else None,
            {name.partition(":")[2]: _plain(each) for name, each in sums.items() if name.startswith("is:")},
            sum(map(len, parts)),
            bool(sums[_STOP]),
        )

    def evaluate(self, step: int) -> dict[str, float]:
        """Return loss, score and the task's own metrics on the validation split, after so many steps.

        Raises
        ------
        Diverged
            If the loss is not finite.
        RunError
            If the model refuses its input.
        """
        task, model = self.prepared.task, self.kept
        set_routing(model, **self._routing(step))
        inputs, _ = evaluation.examples(self.prepared.signature, task.validation, self.prepared.device)
        with self._exploding(), blamed(self.config.model.kind, self.is_own, step):
            outputs = evaluation.outputs(model, inputs)
        found = evaluation.measured(task, task.validation, outputs)
        if not math.isfinite(found["loss"]):
            raise Diverged(f"the validation loss after step {step} is {found['loss']}")
        return found

    def routing(self, step: int) -> dict[str, float]:
        """Return the routers' settings after so many steps, by name; without routers there is none."""
        first = next(routers(self.model), None)
        if first is None:
            return {}
        return {name: getattr(first.config, name) for name in SETTINGS} | dict(self._routing(step))

    def state(self) -> dict[str, Tensor]:
        """Return what the training needs to go on besides the module that is kept."""
        return state.packed(self.optimizer, self._scaler, None if self.average is None else self.model)

    def restore(self, kept: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
        """Put a model and a state back.

        Parameters
        ----------
        kept
            Of the module that is kept.
        found
            What `state` returned.

        Raises
        ------
        RunError
            If they are of another training.
        """
        try:
            self.kept.load_state_dict(kept)
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"these are the parameters of another model: {' '.join(str(error).split())}"
            ) from None
        state.restore(found, self.optimizer, self._scaler, None if self.average is None else self.model)

    def _built(self) -> nn.Module:
        config, cpu = self.config, torch.device("cpu")
        with seeded(
            config.seed, 0, "fit:model", cpu
        ) as generator:  # a user's own may draw from the global one
            return build(self.prepared.signature, config.model, generator).to(self.prepared.device)

    def _gradients(self, step: int, parts: list[np.ndarray]) -> dict[str, Tensor]:
        """Add up the gradients of this process's micro-batches, each by its share of the step's examples."""
        total, world = sum(map(len, parts)), self.world
        # Alone, nothing is computed for an empty part; together all have to come to the exchange of gradients.
        own = range(world.rank, len(parts), world.size)
        mine = [number for number in own if len(parts[number]) or world.size > 1]
        sums: dict[str, Tensor] = {}
        for number in mine:
            chosen = parts[number] if len(parts[number]) else np.zeros(1, np.int64)
            share = len(parts[number]) / total
            with unsynchronised(self._parallel, number == mine[-1]):
                found, loss = self._losses(step, number, chosen)
                # Between processes gradients are averaged.
                self._scaler.scale(loss * (share * world.size)).backward()
            for name, value in found.items():
                # Of shares the means are wanted, of numbers of tokens the sums.
                part = value * (len(parts[number]) > 0) if name == "expert_demand" else value * share
                sums[name] = sums[name] + part if name in sums else part
        return sums

    @contextmanager
    def _exploding(self) -> Iterator[None]:
        """Call what a model cannot compute a divergence, where its parameters are such that nobody could."""
        try:
            yield
        except RunError as error:
            if not all(bool((each.abs() < HUGE).all()) for each in self.model.parameters()):
                raise Diverged(str(error)) from error
            raise

    def _losses(self, step: int, number: int, chosen: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
        """Return what is measured of a micro-batch, without gradients, and its loss."""
        prepared, task, device = self.prepared, self.prepared.task, self.prepared.device
        split = Split(task.train.inputs[chosen], task.train.targets[chosen])
        inputs, targets = evaluation.examples(prepared.signature, split, device)
        with (
            self._exploding(),
            blamed(self.config.model.kind, self.is_own, step),
            seeded(self.config.seed, step, f"fit:part:{number}", device) as generator,
        ):
            with precision.autocast(device, self.config.optim.amp_dtype):
                outputs, metrics = answered(self._parallel, inputs, prepared.signature, generator)
            loss, losses = loss_parts(task, example_losses(task, outputs, targets), metrics)
        found = {"loss": loss.detach()} | {f"loss:{name}": value for name, value in losses.items()}
        for name, value in metrics.items():
            if not isinstance(value, Tensor):
                continue
            if name in BY_LAYER:
                found[f"is:{name}"] = value.detach().float()
            elif name in MEANS:
                found[f"is:{name}"] = value.detach().float().mean()
            elif name == "expert_demand":
                found[name] = value.detach()
        return found, loss


def _plain(value: Tensor) -> Any:
    return value.tolist() if value.ndim else float(value)
