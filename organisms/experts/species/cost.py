"""The counted cost of one expert: FLOPs and bytes follow from its genes, the task and the tokens routed to it."""

from collections.abc import Mapping

from organisms.task import Task


def cost(
    task: Task, dim: int, gene: Mapping[str, float], tokens: float, examples: int = 1
) -> tuple[float, float]:
    """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of an expert.

    Parameters
    ----------
    task
        Has ``length`` tokens an example.
    dim
        Width of the residual stream, D.
    gene
        Structural genes by name; `rank` and `hidden` count.
    tokens
        Tokens that are routed to it, in all examples together; may be a mean.
    examples
        Number of examples; its logit is computed for every token of them.
    """
    rank, hidden, read = gene["rank"], gene["hidden"], examples * task.length
    products = 2 * (dim * rank + rank * hidden)  # multiply-adds of a token, and numbers in the matrices
    flops = 2 * read * dim + tokens * (2 * products + 2 * hidden)
    bytes_moved = dim + read * (dim + 1) + products + tokens * (2 * dim + 4 * rank + 4 * hidden)
    return flops, 4.0 * bytes_moved
