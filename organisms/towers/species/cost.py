"""The counted cost of one tower: FLOPs and bytes follow from its genes and the task alone."""

from collections.abc import Mapping

from organisms.task import Task


def cost(task: Task, dim: int, gene: Mapping[str, float], messages: int = 0) -> tuple[float, float]:
    """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one tower on one example.

    Parameters
    ----------
    task
        Has ``length`` tokens an example; says which can attend to one another.
    dim
        Width of the residual stream, D.
    gene
        Structural genes by name.
    messages
        Neighbours of which it hears: its stages are computed twice then, and all that they say is read once.
    """
    tokens, width = task.length, gene["width"]
    hidden, stages, attending = width * gene["expansion"], gene["stages"], gene["attention"]
    matrices = 2 * dim * width + stages * 2 * width * hidden + attending * 4 * width**2
    pairs = tokens * (tokens + 1) / 2 if task.causal else float(tokens**2)
    flops = 2 * tokens * matrices + tokens * stages * hidden + attending * pairs * (4 * width + 5)
    between = 2 * width + stages * 2 * (width + 2 * hidden) + attending * 2 * 5 * width
    once = flops, matrices + tokens * (2 * dim + between)
    if not messages:
        return once[0], 4.0 * once[1]
    mixing = tokens * 2 * dim * (messages + 1)
    return 2 * once[0] + mixing, 4.0 * (2 * once[1] + tokens * dim * (messages + 1))
