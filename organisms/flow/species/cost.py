"""The counted cost of one pattern: FLOPs and bytes follow from its genes, the task and the tokens that mix it."""

from collections.abc import Mapping

import numpy as np

from organisms.task import Task


def cost(
    task: Task, dim: int, gene: Mapping[str, float], tokens: float, examples: int = 1
) -> tuple[float, float]:
    """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of a pattern.

    Scores are those of the tokens in the window; where a network computes more, that is its own affair.

    Parameters
    ----------
    task
        Says how many tokens each can see; has ``length`` of them an example.
    dim
        Width of the residual stream, D.
    gene
        Structural genes by name; all count.
    tokens
        Tokens that mix it, in all examples together; may be a mean.
    examples
        Number of examples; every token of them has a logit and offers something.
    """
    rank, channels = gene["rank"], gene["channels"]
    read, seen = examples * task.length, task.visible(gene["window"]).sum(1)
    pairs, held = float(seen.mean()), float(np.minimum(seen, gene["positions"]).mean())
    squares = channels * 2 * rank**2  # match and value
    of_channel = pairs * (2 * rank + 3) + held * (5 + 2 * rank) + 2 * rank
    flops = read * 2 * (dim + dim * rank) + tokens * 2 * (2 * dim * rank + squares)
    flops += tokens * channels * of_channel
    matrices = dim + 3 * dim * rank + squares + channels * (rank + 2)
    between = 2 * rank + channels * (2 * rank + 2 * held + 2 * rank) + 2 * rank
    moved = matrices + read * (dim + 1 + rank) + tokens * (2 * dim + between)
    return flops, 4.0 * moved
