"""The auxiliary losses of a router: each a scalar over all tokens that are not padding, 0 without any.

All are of one layer and its whole batch. Concatenating layers or micro-batches before the loss would not do: a router
that is balanced over both together may be balanced in neither.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def load_balance(
    log_scores: Float[Tensor, "N E"], demand: Int64[Tensor, " E"], mask: Bool[Tensor, " N"]
) -> Float[Tensor, ""]:
    """E sum_e f_e P_e: 1 where tokens and probabilities are uniform, E where all go to one expert.

    f_e is the share of expert e in all choices, whatever k; it has no gradient. P_e is the mean probability of e, which
    is its score over the sum of the token's scores.

    Parameters
    ----------
    log_scores
        Log of the scores, [N, E].
    demand
        Number of tokens that chose each expert, dropped choices included, [E].
    mask
        False where a token is padding, [N].

    References
    ----------
    Fedus et al. 2022, Switch Transformers, section 2.2; for k over 1 and sigmoid scores DeepSeek-V3, section 2.1.2.
    """
    chosen = demand.to(log_scores.dtype) / demand.sum().clamp(min=1)
    return demand.shape[0] * (chosen * _mean(torch.softmax(log_scores, dim=1), mask)).sum()


def z_loss(logits: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]) -> Float[Tensor, ""]:
    """Mean over tokens of (log sum_e exp z_e)^2, which keeps logits small (Zoph et al. 2022, ST-MoE, equation 5)."""
    return _mean(torch.logsumexp(logits, dim=1).square(), mask)


def entropy_loss(log_scores: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]) -> Float[Tensor, ""]:
    """Log E minus the mean entropy of a token's probabilities, nats: 0 where they are uniform."""
    log_probabilities = torch.log_softmax(log_scores, dim=1)
    negative_entropy = (log_probabilities.exp() * log_probabilities).sum(1)
    return _mean(math.log(log_scores.shape[1]) + negative_entropy, mask)


def margin_loss(scores: Float[Tensor, "N E"], mask: Bool[Tensor, " N"], margin: float) -> Float[Tensor, ""]:
    """Mean over tokens of max(0, margin - (best score - second)); with one expert 0.

    Parameters
    ----------
    scores
        Scores of the experts, [N, E].
    mask
        False where a token is padding, [N].
    margin
        Difference of scores from which on the loss of a token is zero.
    """
    if scores.shape[1] == 1:
        return scores.new_zeros(())
    first, second = torch.topk(scores, 2, dim=1).values.unbind(1)
    return _mean((margin - (first - second)).clamp(min=0), mask)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the first axis, tokens, without padding."""
    padding = ~mask.view(-1, *[1] * (values.ndim - 1))
    return values.masked_fill(padding, 0).sum(0) / mask.sum().clamp(min=1)
