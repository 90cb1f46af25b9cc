"""The k largest of each row, for routers of whatever kind."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def largest(preferences: Float[Tensor, "N E"], k: int) -> Int64[Tensor, "N k"]:
    """Return the places of the k largest numbers of each row, 1 <= k <= E, largest first; of equal ones the first.

    It has no gradient. A place at -inf is taken only where too few others are left.
    """
    # k times argmax, which takes the first of equals; torch.topk takes any of them, and is slower for small k.
    left = preferences.detach()
    rounds = [left.argmax(dim=1, keepdim=True)]
    if k > 1:  # what has been chosen is set to -inf, below all others
        left = left.clamp(min=torch.finfo(left.dtype).min)
    for _ in range(k - 1):
        rounds.append(left.scatter_(1, rounds[-1], -torch.inf).argmax(dim=1, keepdim=True))
    return torch.cat(rounds, dim=1)
