"""Rollouts: what a model of sequences predicts when it goes on from its own predictions."""

import numpy as np
import torch
from torch import Tensor, nn

from organisms.task import Task
from runs.models.evaluation import BATCH


def predicts_next(task: Task) -> bool:
    """Return whether a task asks for the next token of real numbers at every position, so that a model can go on."""
    if task.kind != "sequence" or task.tokens != "continuous" or task.features != task.outputs:
        return False
    return np.array_equal(task.train.targets[:, :-1], task.train.inputs[:, 1:])


@torch.no_grad()
def rollout(model: nn.Module, context: Tensor, steps: int) -> Tensor:
    """Return what a model predicts after a context, [N, steps, F], each prediction being its next token.

    Parameters
    ----------
    model
        A causal one that predicts the next token; its mode is as before afterwards.
    context
        First tokens of N examples, float32 [N, C, F].
    steps
        How far to go on.
    """
    training = model.training
    model.eval()
    try:
        return torch.cat([_gone_on(model, each, steps) for each in context.split(BATCH)])
    finally:
        model.train(training)


def _gone_on(model: nn.Module, tokens: Tensor, steps: int) -> Tensor:
    first = tokens.shape[1]
    for _ in range(steps):
        tokens = torch.cat([tokens, model(tokens)[0][:, -1:].to(tokens)], 1)
    return tokens[:, first:]
