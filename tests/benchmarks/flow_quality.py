"""Validation loss of FlowNetwork and of a transformer of equal parameters on `text`, and what few bits cost.

The next byte of CPython's help topics, in sequences of 256: the training and validation splits of the task `text` with
task.length=256. Two layers of width 64, 4 heads; windows of 64, and a memory of 64 slots, or none. All take equal steps
on the same batches, with Adam and one of three learning rates, falling with a cosine: the best of each model on a seed
that is not reported (without memory: that of the model with). First each must begin near the loss of a guess. Printed
are the mean and the standard deviation over seeds of the loss in nats a byte; and for the flow of each seed the
perplexity of its weights, of 8 bits and of 4 bits.

    PYTHONPATH=. python tests/benchmarks/flow_quality.py [--steps 120] [--seeds 3]
"""

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from runs.machine.settings import prepare

prepare()

import torch  # MKL reads its settings once
from torch import Tensor, nn
from torch.nn import functional as F

from organisms.flow import FlowNetwork, quantised
from runs import tasks
from runs.config.sections import TaskConfig
from tests.benchmarks.flow import parameters, transformer_like

V, WIDTH, LAYERS, HEADS, WINDOW, SLOTS, LENGTH = 256, 64, 2, 4, 64, 64, 256
BATCH, RATES, TRIED = 8, (3e-3, 1e-2, 3e-2), 1000  # the last: a seed
HELD_OUT = 60  # sequences of validation, of 256 predictions each


def flow(seed: int, memory_size: int | None = SLOTS) -> FlowNetwork:
    stream = torch.Generator().manual_seed(seed)
    given = {"num_heads": HEADS, "window": WINDOW, "memory_size": memory_size, "generator": stream}
    return FlowNetwork(V, WIDTH, LAYERS, LENGTH, **given)


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "transformer": lambda seed: transformer_like(flow(seed), V, WIDTH, LAYERS, HEADS, seed),
    "flow": flow,
    "flow, no memory": lambda seed: flow(seed, None),
}


def text() -> tuple[Tensor, ...]:
    """Inputs and targets of the training split, and of the validation split."""
    task = tasks.load(TaskConfig(name="text", length=LENGTH))
    held_out = task.validation.inputs[:HELD_OUT], task.validation.targets[:HELD_OUT]
    return tuple(torch.from_numpy(each).long() for each in (task.train.inputs, task.train.targets, *held_out))


@torch.no_grad()
def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Nats a byte."""
    losses = [
        F.cross_entropy(model(part)[0].flatten(0, 1), wanted.flatten(), reduction="sum")
        for part, wanted in zip(inputs.split(BATCH), targets.split(BATCH), strict=True)
    ]
    return math.fsum(map(float, losses)) / targets.numel()


def trained(name: str, rate: float, steps: int, seed: int, inputs: Tensor, targets: Tensor) -> nn.Module:
    model, stream = MODELS[name](seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for step in range(steps):
        chosen = torch.randint(len(inputs), (BATCH,), generator=stream)
        warm, falling = min(1.0, (step + 1) / 20), 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate * warm * falling
        loss = F.cross_entropy(model(inputs[chosen])[0].flatten(0, 1), targets[chosen].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def check(inputs: Tensor, targets: Tensor) -> None:
    for name, new in MODELS.items():
        loss = loss_of(new(0), inputs[:BATCH], targets[:BATCH])
        assert 0.5 * math.log(V) < loss < 2 * math.log(V), f"{name} begins at {loss:.2f}; nothing is reported"


def best_rate(name: str, steps: int, data: tuple[Tensor, ...]) -> float:
    inputs, targets, *held_out = data
    losses = {rate: loss_of(trained(name, rate, steps, TRIED, inputs, targets), *held_out) for rate in RATES}
    print(f"  {name:<16} " + "  ".join(f"{rate:g}: {loss:.4f}" for rate, loss in losses.items()), flush=True)
    return min(losses, key=lambda rate: losses[rate])


def spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.4f} +- {deviation:.4f}"


def perplexities(model: nn.Module, held_out: Sequence[Tensor]) -> list[float]:
    """Of the model, of its copy of 8 bits, and of 4."""
    copies = [model, quantised(model, 8), quantised(model, 4)]
    return [math.exp(loss_of(each, *held_out)) for each in copies]


def main(words: Sequence[str] | None = None) -> None:
    """Check, choose learning rates, train, print."""
    parser = argparse.ArgumentParser(description="validation loss of flow and of a transformer")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args(words)
    data = text()
    inputs, targets, *held_out = data
    check(inputs, targets)
    sizes = ", ".join(f"{name} {parameters(new(0)):,}" for name, new in MODELS.items())
    print(f"{asked.steps} steps of {BATCH} sequences of {LENGTH} bytes; parameters: {sizes}")
    print("validation loss by learning rate, on a seed that does not count")
    rates = {name: best_rate(name, asked.steps, data) for name in ("transformer", "flow")}
    rates["flow, no memory"] = rates["flow"]
    print("validation loss, nats a byte: mean and standard deviation over seeds")
    for name, rate in rates.items():
        made = [trained(name, rate, asked.steps, seed, inputs, targets) for seed in range(asked.seeds)]
        losses = [loss_of(model, *held_out) for model in made]
        each = ", ".join(f"{loss:.4f}" for loss in losses)
        print(f"  {name:<16} {spread(losses)}  ({each}; learning rate {rate:g})", flush=True)
        if name == "flow" and find_spec("torchao"):
            few = zip(*(perplexities(model, held_out) for model in made), strict=True)
            for bits, values in zip(("float32", "8 bits", "4 bits"), few, strict=True):
                print(f"    perplexity of {bits:<8} {spread(values)}", flush=True)


if __name__ == "__main__":
    main()
