"""The plan of optimal transport between tokens and experts, by Sinkhorn's iterations on logarithms."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def log_plan(
    logits: Float[Tensor, "N E"],
    candidates: Bool[Tensor, "N E"],
    tau: float,
    iterations: int,
) -> Float[Tensor, "N E"]:
    """Log of P = diag(u) K diag(v), K = exp(logits / tau), with rows of about 1 and columns of N / E.

    Each iteration scales the rows to 1 and then the columns to N / E: the columns are exact, the rows as good as the
    iterations make them. Everything is a log: exp(logits / tau) overflows from logits of 89 tau.

    Parameters
    ----------
    logits
        [N, E], finite.
    candidates
        Where P may be above zero, bool [N, E]. A row without any (padding) does not count as a token, and a column
        without any stays empty.
    tau
        Temperature of the plan: small follows the logits, large spreads the tokens.
    iterations
        Number of iterations.

    References
    ----------
    Cuturi 2013; Clark et al. 2022, Unified Scaling Laws for Routed Language Models, for its use in routing.
    """
    log_kernel = (logits / tau).masked_fill(~candidates, -torch.inf)
    tokens = candidates.any(dim=1).sum().clamp(min=1)
    log_column = (tokens / logits.shape[1]).log()
    log_v = torch.zeros_like(logits[:1])
    log_u = torch.zeros_like(logits[:, :1])
    for _ in range(iterations):
        log_u = _scaling(torch.zeros_like(log_column), torch.logsumexp(log_kernel + log_v, 1, keepdim=True))
        log_v = _scaling(log_column, torch.logsumexp(log_kernel + log_u, 0, keepdim=True))
    return log_kernel + log_u + log_v


def _scaling(wanted: Tensor, found: Tensor) -> Tensor:
    """Log of the factor from a found sum to the wanted one; an empty sum, -inf, cannot be scaled."""
    return torch.where(torch.isneginf(found), 0.0, wanted - found)
