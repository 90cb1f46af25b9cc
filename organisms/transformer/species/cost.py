"""The counted cost of one shard: FLOPs and bytes follow from its genes and the task alone."""

from collections.abc import Mapping

from organisms.task import Task


def cost(task: Task, dim: int, gene: Mapping[str, float]) -> tuple[float, float]:
    """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one shard on one example.

    The head is counted as a pseudopod of equal sizes is (`organisms.pseudopods.species.cost`), the hidden units as
    those of an expert.

    Parameters
    ----------
    task
        Says which tokens can attend to one another.
    dim
        Width of the residual stream, D.
    gene
        Structural genes by name; `width` and `hidden` count.
    """
    tokens, width, hidden = task.length, gene["width"], gene["hidden"]
    pairs = float(task.visible(float("inf")).sum())
    maps = 4 * dim * width + 2 * dim * hidden  # multiply-adds of a token, and numbers in the matrices
    flops = tokens * (2 * maps + 2 * hidden) + pairs * (4 * width + 5)
    bytes_moved = maps + 2 * tokens * dim + tokens * (8 * width + 4 * hidden)
    return flops, 4.0 * bytes_moved
