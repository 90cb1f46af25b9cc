"""Models side by side on the same examples: losses, sizes and times, and whether differences are shown."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from analysis.statistics.differences import difference
from analysis.statistics.intervals import Estimate
from organisms.nn import example_losses
from organisms.task import Split, Task
from qd.seeding import generator
from runs.errors import ConfigError
from runs.machine.clock import Clock
from runs.models.evaluation import by_label, examples, measured
from runs.models.keeping.data import task_of
from runs.models.opening import Opened, open_model
from runs.models.predicting import predict

BATCHES = (1, 64)  # examples of a forward pass whose time is measured
REPETITIONS = 30
SPLITS = ("test", "validation")


@dataclass(frozen=True, slots=True)
class Compared:
    """What a model is on the examples that all are compared on.

    Parameters
    ----------
    path
        As it was given.
    architecture
        Name of the architecture or family.
    parameters
        Numbers of its parameters and buffers.
    flops
        Floating-point operations of one example, two for a product and a sum, of matrix products and attention alone.
    metrics
        ``loss``, ``score`` and the task's own.
    kinds
        Loss and score of each kind of examples, where the task has some.
    milliseconds
        Median time of a forward pass, by the number of examples.
    against_first
        Mean difference of the examples' losses to those of the first model, less being better, with its paired
        bootstrap interval of 95 %; None for the first.
    """

    path: str
    architecture: str
    parameters: int
    flops: int
    metrics: Mapping[str, float]
    kinds: Mapping[str, Mapping[str, float]]
    milliseconds: Mapping[int, float]
    against_first: Estimate | None

    @property
    def verdict(self) -> str:
        """What the interval shows: ``better``, ``worse`` or ``no difference shown``; empty for the first."""
        if self.against_first is None:
            return ""
        if self.against_first.holds(0.0) is not False:
            return "no difference shown"
        return "better" if self.against_first.value < 0 else "worse"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it; what is not finite is null."""
        values = asdict(self) | {"verdict": self.verdict or None}
        values["milliseconds"] = {str(batch): value for batch, value in self.milliseconds.items()}
        values["metrics"] = {name: _finite(value) for name, value in self.metrics.items()}
        values["kinds"] = {
            kind: {name: _finite(value) for name, value in found.items()}
            for kind, found in self.kinds.items()
        }
        return values


def compare(
    paths: Sequence[Path],
    split: str = "test",
    task: Task | None = None,
    clock: Clock = time.perf_counter,
) -> list[Compared]:
    """Return what models are on the same split of the same data, in their order.

    Parameters
    ----------
    paths
        Checkpoints, trainings or runs.
    split
        ``test`` or ``validation``.
    task
        The data; None: those of the models, which must be the same.
    clock
        Monotonic seconds, for the times alone.

    Raises
    ------
    ConfigError
        If there is no such split; if the models read or answer different things, or were trained on different data.
    RunError, StoreError
        If one of them is damaged.
    """
    if split not in SPLITS:
        raise ConfigError(f"--split must be one of {', '.join(SPLITS)}, not {split!r}")
    models = [open_model(path) for path in paths]
    _check_signatures(paths, models)
    task = _common_task(paths) if task is None else task
    _check_fit(paths[0], models[0], task)
    part: Split = getattr(task, split)
    inputs, targets = examples(models[0].signature, part)
    found: list[Compared] = []
    first: np.ndarray | None = None
    for path, opened in zip(paths, models, strict=True):
        outputs = torch.from_numpy(predict(opened, part.inputs))
        losses = example_losses(task, outputs, targets).double().numpy()
        first = losses if first is None else first
        found.append(
            Compared(
                path=str(path),
                architecture=str(opened.description["architecture"]),
                parameters=sum(each.numel() for each in opened.model.state_dict().values()),
                flops=flops(opened, inputs[:1]),
                metrics=measured(task, part, outputs),
                kinds=by_label(task, part, outputs),
                milliseconds={batch: milliseconds(opened, inputs, batch, clock) for batch in BATCHES},
                against_first=apart(losses, first) if found else None,
            )
        )
    return found


def apart(losses: np.ndarray, first: np.ndarray) -> Estimate:
    """Return the mean difference of two models' losses of the same examples, with its interval.

    Parameters
    ----------
    losses, first
        Of the examples, [N].
    """
    if np.array_equal(losses, first):
        return Estimate(0.0, 0.0, 0.0)
    return difference(losses, first, generator(0, 0, "models:compare"))


def flops(opened: Opened, tokens: Tensor) -> int:
    """Return the floating-point operations of a forward pass: of matrix products and attention, as they are computed.

    Parameters
    ----------
    opened
        The model.
    tokens
        What it reads.
    """
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_of_onednn()) as counter:
        opened.model(tokens)
    return int(counter.get_total_flops())


def milliseconds(opened: Opened, inputs: Tensor, batch: int, clock: Clock) -> float:
    """Return the median time of a forward pass, after two that warm up.

    Parameters
    ----------
    opened
        The model.
    inputs
        Examples, which are repeated where they are fewer than the batch.
    batch
        Examples of a pass.
    clock
        Monotonic seconds.
    """
    tokens = inputs.repeat(math.ceil(batch / len(inputs)), *[1] * (inputs.ndim - 1))[:batch]
    taken = []
    with torch.no_grad():
        for _ in range(REPETITIONS + 2):
            begun = clock()
            opened.model(tokens)
            taken.append(clock() - begun)
    return 1000.0 * median(taken[2:])


def _check_signatures(paths: Sequence[Path], models: Sequence[Opened]) -> None:
    first = models[0].signature.plain()
    for path, opened in zip(paths[1:], models[1:], strict=True):
        other = opened.signature.plain()
        names = [name for name in first if name != "name" and first[name] != other[name]]
        if names:
            raise ConfigError(
                f"{path} cannot be compared with {paths[0]}: its {names[0]} is {other[names[0]]!r}, not "
                f"{first[names[0]]!r}; compare models of one task"
            )


def _common_task(paths: Sequence[Path]) -> Task:
    first, *others = (task_of(path) for path in paths)
    for path, task in zip(paths[1:], others, strict=True):
        if task.digest != first.digest:
            raise ConfigError(
                f"{path} was trained on other data than {paths[0]} (digest {task.digest[:12]}, not {first.digest[:12]})"
                "; name the data that both are to be compared on with --data"
            )
    return first


def _check_fit(path: Path, opened: Opened, task: Task) -> None:
    signature = opened.signature
    names: tuple[Literal["kind", "tokens", "features", "outputs", "length"], ...]
    names = ("kind", "tokens", "features", "outputs", "length")
    for name in names:
        if getattr(task, name) != getattr(signature, name):
            raise ConfigError(
                f"the data do not fit {path}: their {name} is {getattr(task, name)!r}, and that of the model "
                f"{getattr(signature, name)!r}"
            )


def _of_onednn() -> dict[Any, Callable[..., int]]:
    """Return how to count the products of oneDNN, which torch's counter does not know."""
    operation = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return {} if operation is None else {operation: _linear_flops}


def _linear_flops(x: Sequence[int], weight: Sequence[int], *_: Any, out_shape: Any = None, **__: Any) -> int:
    return 2 * math.prod(x) * weight[0]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
