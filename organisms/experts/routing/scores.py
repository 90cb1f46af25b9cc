"""Scores of the experts, gate weights of those that compute a token, and the noise on logits."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def log_scores(logits: Float[Tensor, "N E"], kind: str) -> Float[Tensor, "N E"]:
    """Log of the scores: a softmax over the experts, or a sigmoid of each (``kind``).

    Logs, because scores underflow: for logits 200 apart, all but one of a float32 softmax are 0.
    """
    return F.logsigmoid(logits) if kind == "sigmoid" else torch.log_softmax(logits, dim=1)


def weights(
    logs: Float[Tensor, "N K"],
    chosen: Bool[Tensor, "N K"],
    kept: Bool[Tensor, "N K"],
    *,
    normalised: bool,
    renormalised: bool,
) -> Float[Tensor, "N K"]:
    """Gate weights of the kept choices of each token: w_i = T s_i / sum_{j in R} s_j, and 0 for the others.

    Parameters
    ----------
    logs
        Log of the score s of each choice, [N, K].
    chosen, kept
        Which are choices, and which of them are computed, bool [N, K].
    normalised
        Whether T is 1 (Mixtral; DeepSeek-V3), or the sum of the chosen scores (Switch), so that w_i = s_i if nothing
        is dropped.
    renormalised
        Whether R are the kept choices, so that the weights sum to T whatever was dropped, or the chosen ones.
    """
    shares = _shares(logs, kept if renormalised else chosen)
    total = 1.0 if normalised else (logs.exp() * chosen).sum(1, keepdim=True)
    return shares * total * kept


def _shares(logs: Tensor, members: Tensor) -> Tensor:
    """Softmax over the members of each row; over all of a row without members, whose shares are not used."""
    empty = ~members.any(dim=1, keepdim=True)
    return torch.softmax(logs.masked_fill(~(members | empty), -torch.inf), dim=1)


def gaussian(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers."""
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32)


def gumbel(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw standard Gumbel numbers, -log(-log u): the argmax of logits plus these is a draw from their softmax."""
    draws = torch.empty(shape, device=generator.device, dtype=torch.float32).exponential_(generator=generator)
    return -draws.clamp(min=torch.finfo(draws.dtype).tiny).log()


NOISE = {"gaussian": gaussian, "gumbel": gumbel}
