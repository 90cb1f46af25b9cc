"""The configuration of a training: `fit` reads it from YAML, and a checkpoint keeps it.

Names and defaults of optimizer and schedule are those of the library that this follows (the document).
"""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from organisms.layers.config import Count, NotNegative, Positive, Section, Share
from runs.config.sections import TaskConfig
from runs.models.options import ModelChoice

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class DataConfig(TaskConfig):
    """What the model learns: a task of the harness, with its splits (train, validation, test), in batches.

    A task that is a stream of chunks is read as one sequence: a model that is trained on its own sees all of it.
    """

    batch_size: Count = 32
    """Examples of a micro-batch; an optimizer step takes `optim.grad_accum_steps` times as many."""


class OptimConfig(Section):
    """AdamW, with a learning rate for each group of parameters."""

    lr_main: Positive = 1e-3
    """Of all parameters that are in no other group."""
    lr_router: Positive = 5e-4
    """Of routers."""
    lr_expert: Positive = 1e-3
    """Of experts."""
    weight_decay: NotNegative = 0.01
    """Decoupled; not of biases, norms and embeddings, which have one dimension or a table's."""
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = (0.9, 0.95)
    """Decay of the two moments."""
    max_grad_norm: Positive | None = 1.0
    """Gradients are scaled to this norm where theirs is larger; null: never."""
    amp_dtype: Literal["none", "bf16", "fp16"] = "none"
    """Autocast; fp16 with a gradient scaler. Differs from the document: bf16, which is slower on most CPUs."""
    grad_accum_steps: Count = 1
    """Micro-batches whose gradients are averaged for one step."""
    ema_decay: Share | None = None
    """Of an exponential moving average of the parameters, which is evaluated and kept instead of them; in step s it is
    at most (1 + s) / (10 + s), so that the average forgets where it began; null: none."""


class RouterSchedule(Section):
    """A linear schedule of one of a router's settings over the first steps."""

    start: NotNegative
    """Value at step 0."""
    end: NotNegative
    """Value from `steps` on."""
    steps: Count
    """Optimizer steps between the two."""


class SchedConfig(Section):
    """Steps, learning rates and the routers' settings over them."""

    total_steps: Count = 10_000
    """Optimizer steps."""
    warmup_steps: Annotated[int, Field(ge=0)] = 1000
    """Steps of linear warm-up, before the cosine."""
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Learning rate at the end of the cosine, over the largest."""
    temperature: RouterSchedule | None = None
    """Of routers; null: as the model says."""
    noise_std: RouterSchedule | None = None
    """Of the routers' noise; null: as the model says."""
    capacity_factor: RouterSchedule | None = None
    """Of experts; null: as the model says."""

    @model_validator(mode="after")
    def _rules(self) -> "SchedConfig":
        if self.warmup_steps > self.total_steps:
            raise ValueError(
                f"warmup_steps must be at most total_steps, {self.total_steps}, not {self.warmup_steps}"
            )
        return self


class EvalConfig(Section):
    """When the model is evaluated, which checkpoints are kept, and when training stops early."""

    every: Count = 200
    """Optimizer steps between evaluations on the validation split; each may leave a checkpoint."""
    log_every: Count = 10
    """Optimizer steps between lines of the log; a step that is evaluated has one too."""
    keep_best: Count = 1
    """Checkpoints to keep by validation loss."""
    keep_newest: Count = 1
    """Checkpoints to keep by step."""
    patience: Count | None = None
    """Evaluations without a better validation loss after which training stops; null: it never does."""


class TrainConfig(Section):
    """Everything that a training depends on besides the code, the data and the machine's arithmetic."""

    run_name: str = "model"
    """Name of the training and, in `out_dir`, of its folder."""
    out_dir: str = "out/models"
    """Where the folder is made."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Names every random draw: parameters, order of examples, noise and dropout."""
    data: DataConfig = DataConfig()
    model: ModelChoice = ModelChoice()
    optim: OptimConfig = OptimConfig()
    sched: SchedConfig = SchedConfig()
    eval: EvalConfig = EvalConfig()
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto: CUDA, MPS or the CPU, the first that is there."""

    @field_validator("run_name")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"must be 1 to 64 letters, digits, '.', '_' or '-', not {value!r}")
        return value
