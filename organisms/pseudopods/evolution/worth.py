"""What each head is worth to the loss, step by step, without a pass of its own.

Shape suffixes: N slots of all layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.pseudopods.heads import PseudopodAttention

NORMAL = 1.96  # standard errors that a 95 % interval reaches to each side


@dataclass(frozen=True, slots=True)
class Worth:
    """Moving averages of one head's drop of the loss; 0 where it was never seen."""

    mean: float
    lower: float  # lower 95 % bound of the mean, where steps are the sample
    size: float  # root mean square


def drops(heads: Sequence[PseudopodAttention]) -> Tensor:
    """Return by how much each head lowers the loss to first order, [N].

    ``-sum(dloss/dO_c * O_c)`` over its output factor O_c is minus the inner product of what the head writes,
    ``attended_c O_c``, with the loss's gradient by it, over all tokens of the batch: what the loss would rise by, were
    the head scaled away. It is that of the step's gradients with the weights as they are, so after an optimizer step it
    is off by a term of the order of the learning rate.
    """
    each = []
    for head in heads:
        gradient = head.output.grad
        if gradient is None:
            raise ValueError(
                "evolve reads gradients and found none; call it after loss.backward() and before optimizer.zero_grad()"
            )
        factor = head.output.detach()
        each.append(torch.linalg.vecdot(gradient.float().flatten(1), factor.float().flatten(1)))
    return -torch.cat(each)


def weights(decay: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what a step keeps of the moving averages, and what it adds of the news, each [4, 1].

    Parameters
    ----------
    decay
        Weight that the past keeps.
    device
        Of the moving averages.
    """
    gain = 1 - decay
    kept, news = [decay, decay, decay, decay**2], [gain, gain, gain, gain**2]
    return torch.tensor(kept, device=device)[:, None], torch.tensor(news, device=device)[:, None]


def averaged(moments: Tensor, values: Tensor, counts: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """Return the moving averages after a step: of 1, the value, its square, and squared weights, [4, N].

    Parameters
    ----------
    moments
        Those before, [4, N]; zeros for what was never seen.
    values
        Of this step, [N].
    counts
        Whether the step counts, bool [N]: what is not finite does not.
    weights
        Of the past and of the news, as `weights` returns them.
    """
    kept, news = weights
    one = torch.ones_like(values)
    powers = torch.stack([one, values, values.square(), one])
    return torch.where(counts, kept * moments + news * powers, moments)


def worth(moments: Sequence[float]) -> Worth:
    """Return what the moving averages of one head, four numbers, say of it."""
    weight, total, squares, of_weights = moments
    if weight <= 0:
        return Worth(0.0, 0.0, 0.0)
    mean, square = total / weight, squares / weight
    error = max(square - mean**2, 0.0) * of_weights / weight**2
    return Worth(mean, mean - NORMAL * error**0.5, square**0.5)
