"""Sinkhorn routing: in training tokens choose by a transport plan of balanced loads."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from organisms.experts.config import RouterConfig
from organisms.experts.routing.choice import Choice, best
from organisms.experts.routing.router import BaseRouter


class SinkhornRouter(BaseRouter):
    """In training each token goes to the k experts of its largest entries of the batch's transport plan P.

    P has row sums of 1 and column sums of N / E, so that loads are nearly equal; only the experts of a token's
    ``sinkhorn_topk`` largest logits are candidates. Gate weights follow from the scores, and in evaluation the k
    largest logits are chosen: P depends on all tokens of a batch, and what depends on them can reproduce no prefix.

    Differs from the document: it takes the weights from P as well, in evaluation too, and each token has as many
    experts as P has entries that are not small.

    Parameters
    ----------
    config, d_model, generator
        As in `BaseRouter`.

    References
    ----------
    Clark et al. 2022, Unified Scaling Laws for Routed Language Models (S-BASE).

    Raises
    ------
    ValueError
        If a token has fewer candidates than choices.
    """

    def __init__(self, config: RouterConfig, d_model: int, *, generator: torch.Generator) -> None:
        if config.sinkhorn_topk is not None and config.sinkhorn_topk < config.k:
            raise ValueError(
                f"sinkhorn_topk must be at least k, {config.k}, or null, not {config.sinkhorn_topk}: "
                "a token has k experts, all from its candidates"
            )
        super().__init__(config, d_model, generator=generator)

    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Choose the k experts of the largest entries of the plan for each token, in evaluation of the largest logits.

        Parameters
        ----------
        logits, logs, mask
            As in `BaseRouter.choose`.
        """
        k, n_experts = self.config.k, logits.shape[1]
        if not self.training:
            return best(logits, k)
        width = min(self.config.sinkhorn_topk or n_experts, n_experts)
        candidates = torch.zeros_like(logits, dtype=torch.bool)
        candidates.scatter_(1, best(logits, width).experts, mask[:, None].expand(-1, width))
        plan = log_plan(logits.detach(), candidates, self.config.sinkhorn_tau, self.config.sinkhorn_n_iter)
        return best(plan.masked_fill(~mask[:, None], 0), k)


def log_plan(
    logits: Float[Tensor, "N E"],
    candidates: Bool[Tensor, "N E"],
    tau: float,
    iterations: int,
) -> Float[Tensor, "N E"]:
    """Log of P = diag(u) K diag(v), K = exp(logits / tau), with rows of about 1 and columns of N / E.

    Each iteration scales the rows to 1 and then the columns to N / E (Sinkhorn-Knopp): column sums are exact, row sums
    converge. All is computed in logs, because exp(logits / tau) overflows in float32 from logits of 89 tau on.

    Parameters
    ----------
    logits
        [N, E], finite.
    candidates
        Where P may be above zero, bool [N, E]. A row without any (padding) does not count as a token, and a column
        without any stays zero.
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
    log_column = (tokens.to(logits.dtype) / logits.shape[1]).log()
    log_v = torch.zeros_like(logits[:1])
    log_u = torch.zeros_like(logits[:, :1])
    for _ in range(iterations):
        log_u = _scaling(torch.zeros_like(log_column), torch.logsumexp(log_kernel + log_v, 1, keepdim=True))
        log_v = _scaling(log_column, torch.logsumexp(log_kernel + log_u, 0, keepdim=True))
    return log_kernel + log_u + log_v


def _scaling(wanted: Tensor, found: Tensor) -> Tensor:
    """Log of the factor from a found sum to the wanted one; an empty sum, whose log is -inf, stays as it is."""
    return torch.where(torch.isneginf(found), 0.0, wanted - found)
