"""The counted cost of one attention head: FLOPs and bytes follow from its genes and the task alone."""

from collections.abc import Mapping

from organisms.task import Task


def cost(task: Task, dim: int, gene: Mapping[str, float], tubes: int = 0) -> tuple[float, float]:
    """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one head on one example.

    Parameters
    ----------
    task
        Says which tokens can attend to one another.
    dim
        Width of the residual stream, D.
    gene
        Structural genes by name; `rank`, `width` and `window` count.
    tubes
        That every token sees beside, all of them open; their keys and values are computed anew in each chunk.
    """
    tokens, rank, width = task.length, gene["rank"], gene["width"]
    held = task.chunks * tubes
    pairs = float(task.visible(gene["window"]).sum()) + tokens * tubes
    flops = 2 * (2 * tokens + held) * dim * (rank + width) + pairs * (2 * rank + 2 * width + 5)
    bytes_moved = (
        2 * dim * (rank + width) + (2 * tokens + held) * dim + (4 * tokens + 2 * held) * (rank + width)
    )
    return flops, 4.0 * bytes_moved
