"""What is chosen: tokens choose experts, or experts are dealt out in turn."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from organisms.layers.checks import told


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Up to K different experts for each of N tokens, best first."""

    experts: Tensor  # int64 [N, K]
    chosen: Tensor  # bool [N, K]: False where a token has fewer than K

    def __post_init__(self) -> None:
        """Check shapes and dtypes; that experts differ is not looked at, for which a GPU would have to be waited for.

        Raises
        ------
        ValueError
            If one is another.
        """
        kinds = (self.experts.ndim, self.experts.dtype, self.chosen.dtype, self.chosen.shape)
        if kinds != (2, torch.int64, torch.bool, self.experts.shape):
            raise ValueError(
                "experts and chosen of a choice must be torch.int64 and torch.bool, both [N, K], but are "
                f"{told(self.experts)} and {told(self.chosen)}"
            )


def best(preferences: Float[Tensor, "N E"], k: int) -> Choice:
    """Give each token the k different experts that it prefers; of equal ones the first.

    Parameters
    ----------
    preferences
        What to choose by, [N, E]; -inf for an expert that is chosen only where too few others are left.
    k
        Experts per token.

    Raises
    ------
    ValueError
        If k is none of 1 to E.
    """
    if not 1 <= k <= preferences.shape[1]:
        raise ValueError(f"k must be from 1 to the number of experts, {preferences.shape[1]}, but is {k}")
    # Rounds of argmax, which takes the first of equals; topk takes any, and for small k is slower.
    left = preferences.detach()
    rounds = [left.argmax(dim=1, keepdim=True)]
    if k > 1:  # what is taken falls below all others, -inf included
        left = left.clamp(min=torch.finfo(left.dtype).min)
    for _ in range(k - 1):
        rounds.append(left.scatter_(1, rounds[-1], -torch.inf).argmax(dim=1, keepdim=True))
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
