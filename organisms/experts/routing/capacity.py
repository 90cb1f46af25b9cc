"""Which of the tokens that chose an expert it has places for.

Where is the routing of the first n tokens the same whatever follows them, so that a cache can reproduce it?

- dropless: where tokens choose by themselves, which is top-k, bias (between two updates) and, in evaluation,
  Sinkhorn; never where experts choose;
- causal: with these routers too, because here the places grow with the tokens. It holds for a prefix of the list
  that was routed: of a batch of sequences, the later ones find the places that the earlier ones left;
- order-agnostic: nowhere. A later token with a higher score takes the place of an earlier one.

The same: the same experts and drops, and weights as equal as the matrix product makes the logits, whose last bits
can depend on the number of rows.

A capacity is for training, to bound the work of an expert. Evaluation is dropless.
"""

import itertools
import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def places(tokens: int, k: int, n_experts: int, factor: float) -> int:
    """Count the places of an expert: C = floor(factor N k / E), at most N.

    Raises
    ------
    ValueError
        If there are tokens, but no place for any of them.
    """
    found = _floor(factor, tokens, k, n_experts)
    if tokens and not found:
        hundredths = math.ceil(100 * n_experts / (tokens * k))
        # One more where the product is rounded to just under 1.
        enough = next(n / 100 for n in itertools.count(hundredths) if _floor(n / 100, tokens, k, n_experts))
        raise ValueError(
            f"capacity_factor {factor} leaves an expert no place for {tokens} tokens with {k} of {n_experts} experts "
            f"each: set it to at least {enough}, or capacity to dropless"
        )
    return found


def _floor(factor: float, tokens: int, k: int, n_experts: int) -> int:
    return int(min(factor * (tokens * k) / n_experts, tokens))


def highest(scores: Float[Tensor, "N E"], wanted: Bool[Tensor, "N E"], capacity: int) -> Bool[Tensor, "N E"]:
    """Keep, for each expert, the C tokens that chose it with the highest scores; of equal ones the first."""
    by_score = scores.detach().masked_fill(~wanted, -torch.inf).T
    # Stable, so that equal scores keep the order of tokens, and rows, because columns are sorted 3 times slower.
    order = torch.sort(by_score, dim=1, descending=True, stable=True).indices[:, :capacity]
    taken = torch.zeros_like(by_score, dtype=torch.bool).scatter(1, order, value=True)
    return taken.T & wanted


def growing(mask: Bool[Tensor, " N"], k: int, n_experts: int, factor: float) -> Int64[Tensor, " N"]:
    """Count the places of an expert when each token has come: max(1, floor(factor n k / E)) after n tokens."""
    come = mask.cumsum(0).double()
    # Nobody takes more places than there are tokens; a large factor's would be no whole number.
    return (factor * (come * k) / n_experts).clamp(1, max(1, len(mask))).long()


def first_come(wanted: Bool[Tensor, "N E"], limits: Int64[Tensor, " N"]) -> Bool[Tensor, "N E"]:
    """Keep a token where its expert has kept fewer than `limits` of the tokens before it.

    With S_t the tokens up to t that chose an expert, and limits C_t that never fall, it has kept
    L_t = S_t + min(0, min_{s <= t} (C_s - S_s)) of them: a queue that turns away what it has no place for.

    Differs from the document and from GShard, whose limit is fixed by the number of all tokens, so that each
    decision depends on those that follow.
    """
    chosen = wanted.long().cumsum(0)
    turned_away = (limits[:, None] - chosen).cummin(0).values.clamp(max=0)
    loads = chosen + turned_away
    before = torch.cat([torch.zeros_like(loads[:1]), loads[:-1]])
    return loads > before
