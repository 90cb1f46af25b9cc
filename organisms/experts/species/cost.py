"""What one expert costs, counted: FLOPs and bytes follow from its genes, the task and the tokens that it answers."""

from collections.abc import Mapping

from organisms.task import Task


def cost(
    task: Task, dim: int, gene: Mapping[str, float], tokens: float, examples: int = 1
) -> tuple[float, float]:
    """FLOPs (a multiply-add is two) and bytes (float32, each operand once) of an expert.

    Parameters
    ----------
    tokens
        How many tokens it answers.
    examples
        From how many examples, of all of whose tokens the logit is computed.
    """
    rank, hidden, read = gene["rank"], gene["hidden"], examples * task.length
    products = 2 * (dim * rank + rank * hidden)  # multiply-adds of a token, and numbers in the matrices
    flops = 2 * read * dim + tokens * (2 * products + 2 * hidden)
    bytes_moved = dim + read * (dim + 1) + products + tokens * (2 * dim + 4 * rank + 4 * hidden)
    return flops, 4.0 * bytes_moved
