"""What is chosen: tokens choose experts, or experts are dealt out in turn."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Up to K different experts for each of N tokens, best first."""

    experts: Tensor  # int64 [N, K]
    chosen: Tensor  # bool [N, K]: False where a token has fewer than K


def best(preferences: Float[Tensor, "N E"], k: int) -> Choice:
    """Give each token the k experts that it prefers; of equal ones the first.

    Parameters
    ----------
    preferences
        What to choose by, [N, E]; -inf for an expert that must not be chosen, of which k are not.
    k
        Experts per token.

    Raises
    ------
    ValueError
        If there are fewer than k experts.
    """
    if k > preferences.shape[1]:
        raise ValueError(f"k must be at most the number of experts, {preferences.shape[1]}, but is {k}")
    # Rounds of argmax, which takes the first of equals; topk takes any, and for small k is slower.
    rounds = []
    left = preferences.detach()
    for _ in range(k):
        rounds.append(left.argmax(dim=1, keepdim=True))
        left = left.scatter(1, rounds[-1], -torch.inf)
    experts = torch.cat(rounds, dim=1)
    return Choice(experts, torch.ones_like(experts, dtype=torch.bool))


def dealt(mask: Bool[Tensor, " N"], k: int, n_experts: int) -> Choice:
    """Deal the experts out in turn, k to each token that is not padding: loads differ by one at most."""
    turn = (mask.cumsum(0) - 1).clamp(min=0)[:, None] * k
    experts = (turn + torch.arange(k, device=mask.device)) % n_experts
    return Choice(experts, torch.ones_like(experts, dtype=torch.bool))


def without_best(choice: Choice, probability: float, generator: torch.Generator) -> Choice:
    """Take the best of its experts from each token with this probability; the others stay."""
    tokens = len(choice.experts)
    draws = torch.rand(tokens, generator=generator, device=generator.device).to(choice.chosen.device)
    best_stays = draws >= probability
    return replace(choice, chosen=torch.cat([best_stays[:, None], choice.chosen[:, 1:]], dim=1))
