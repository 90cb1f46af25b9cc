"""Choices of experts: the k best of each token, round robin, and router dropout."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from organisms.layers.checks import described
from organisms.layers.choice import largest


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Up to K different experts for each of N tokens, best first."""

    experts: Tensor  # int64 [N, K]
    chosen: Tensor  # bool [N, K]: False where a token has fewer than K

    def __post_init__(self) -> None:
        """Check shapes and dtypes, but not that experts differ, for which a GPU would have to be synchronised.

        Raises
        ------
        ValueError
            If a shape or dtype is another.
        """
        kinds = (self.experts.ndim, self.experts.dtype, self.chosen.dtype, self.chosen.shape)
        if kinds != (2, torch.int64, torch.bool, self.experts.shape):
            raise ValueError(
                "experts and chosen of a choice must be torch.int64 and torch.bool, both [N, K], but are "
                f"{described(self.experts)} and {described(self.chosen)}"
            )


def best(preferences: Float[Tensor, "N E"], k: int) -> Choice:
    """Return the k different experts of the largest preferences for each token; of equal ones the first.

    Parameters
    ----------
    preferences
        Logits, or whatever else to choose by, [N, E]; an expert at -inf is chosen only where too few others are left.
    k
        Experts per token.

    Raises
    ------
    ValueError
        If k is not in 1 to E.
    """
    if not 1 <= k <= preferences.shape[1]:
        raise ValueError(f"k must be from 1 to the number of experts, {preferences.shape[1]}, but is {k}")
    experts = largest(preferences, k)
    return Choice(experts, torch.ones_like(experts, dtype=torch.bool))


def round_robin(mask: Bool[Tensor, " N"], k: int, n_experts: int) -> Choice:
    """Return a round-robin choice: k consecutive experts for each token, so that loads differ by one at most.

    Parameters
    ----------
    mask
        False where a token is padding, which does not count, [N].
    k
        Experts per token.
    n_experts
        E.
    """
    turn = (mask.cumsum(0) - 1).clamp(min=0)[:, None] * k
    experts = (turn + torch.arange(k, device=mask.device)) % n_experts
    return Choice(experts, torch.ones_like(experts, dtype=torch.bool))


def without_best(choice: Choice, probability: float, generator: torch.Generator) -> Choice:
    """Return the choice after router dropout, which takes the best expert from a token; the others stay.

    Parameters
    ----------
    choice
        The choice of N tokens.
    probability
        Probability of losing the best expert, in [0, 1), independent for each token.
    generator
        What it is drawn from.
    """
    tokens = len(choice.experts)
    draws = torch.rand(tokens, generator=generator, device=generator.device, dtype=torch.float32)
    best_stays = draws.to(choice.chosen.device) >= probability
    return replace(choice, chosen=torch.cat([best_stays[:, None], choice.chosen[:, 1:]], dim=1))
