"""Expert capacity: which of the tokens that chose an expert it keeps.

In training a capacity bounds the work of an expert; evaluation is dropless. When is the routing of the first n tokens
independent of those that follow, so that a cache can reproduce it?

- dropless: where each token chooses by itself, that is with top-k, bias (between two updates) and, in evaluation,
  Sinkhorn; never where experts choose;
- causal: with the same routers, because the capacity grows with the tokens. This holds for a prefix of the list that
  was routed: of a batch of sequences, the later ones find the slots that the earlier ones left;
- order-agnostic: never. A later token with a higher score displaces an earlier one.

Independent in the choice and drops; gate weights can differ in the last bits, as logits do with the number of rows of
a matrix product.
"""

import itertools
import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def expert_capacity(tokens: int, k: int, n_experts: int, factor: float) -> int:
    """Return the capacity of an expert in tokens: C = floor(factor N k / E), at most N.

    Parameters
    ----------
    tokens
        N, without padding.
    k
        Experts per token.
    n_experts
        E.
    factor
        The configuration's ``capacity_factor``.

    Raises
    ------
    ValueError
        If there are tokens, but the capacity is 0.
    """
    found = _floor(factor, tokens, k, n_experts)
    if tokens and not found:
        hundredths = math.ceil(100 * n_experts / (tokens * k))
        # One hundredth more where the product is rounded to just under 1.
        enough = next(n / 100 for n in itertools.count(hundredths) if _floor(n / 100, tokens, k, n_experts))
        raise ValueError(
            f"capacity_factor {factor} gives an expert a capacity of 0 for {tokens} tokens with {k} of {n_experts} "
            f"experts each: set it to at least {enough}, or capacity to dropless"
        )
    return found


def _floor(factor: float, tokens: int, k: int, n_experts: int) -> int:
    return int(min(factor * (tokens * k) / n_experts, tokens))


def highest(scores: Float[Tensor, "N E"], wanted: Bool[Tensor, "N E"], capacity: int) -> Bool[Tensor, "N E"]:
    """Return which choices are kept: for each expert the C tokens of the highest scores; of equal ones the first.

    Parameters
    ----------
    scores
        Scores or their logs, [N, E].
    wanted
        Which tokens chose each expert, [N, E].
    capacity
        C.
    """
    by_score = scores.detach().masked_fill(~wanted, -torch.inf).T
    # Stable, so that equal scores keep the order of tokens; by rows, because columns are sorted 3 times slower.
    order = torch.sort(by_score, dim=1, descending=True, stable=True).indices[:, :capacity]
    taken = torch.zeros_like(by_score, dtype=torch.bool).scatter(1, order, value=True)
    return taken.T & wanted


def growing_capacity(mask: Bool[Tensor, " N"], k: int, n_experts: int, factor: float) -> Int64[Tensor, " N"]:
    """Return the capacity of an expert after each token, [N]: max(1, floor(factor n k / E)) after n tokens.

    Parameters
    ----------
    mask
        False where a token is padding, which does not count, [N].
    k
        Experts per token.
    n_experts
        E.
    factor
        The configuration's ``capacity_factor``.
    """
    tokens_so_far = mask.cumsum(0).double()
    # At most the number of tokens, because a large factor's product does not fit an integer.
    return (factor * (tokens_so_far * k) / n_experts).clamp(1, max(1, len(mask))).long()


def first_come(wanted: Bool[Tensor, "N E"], limits: Int64[Tensor, " N"]) -> Bool[Tensor, "N E"]:
    """Return which choices are kept, where an expert keeps a token if it has kept fewer than `limits` before it.

    With S_t the tokens up to t that chose an expert, and limits C_t that never fall, the expert has kept
    L_t = S_t + min(0, min_{s <= t} (C_s - S_s)) of them: a queue that drops what exceeds its limit.

    Differs from the document and from GShard, whose limit follows from the number of all tokens, so that each decision
    depends on later tokens.
    """
    chosen = wanted.long().cumsum(0)
    minus_dropped = (limits[:, None] - chosen).cummin(0).values.clamp(max=0)
    loads = chosen + minus_dropped
    before = torch.cat([torch.zeros_like(loads[:1]), loads[:-1]])
    return loads > before
