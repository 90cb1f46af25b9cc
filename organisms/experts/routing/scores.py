"""Scores of the experts, and the weights of those that compute a token."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def log_scores(logits: Float[Tensor, "N E"], kind: str) -> Float[Tensor, "N E"]:
    """Log of the scores: softmax over the experts, or the sigmoid of each expert (``kind``).

    Logs, because scores underflow: of logits 200 apart, a float32 softmax keeps one.
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
    """Weigh the kept experts of each token: w_i = T s_i / sum_{j in R} s_j, and 0 for the others.

    Parameters
    ----------
    logs
        Log of the score s of each choice, [N, K].
    chosen, kept
        What was asked for, and the part of it that an expert has a place for, bool [N, K].
    normalised
        Whether T is 1 (Mixtral; DeepSeek-V3), or the sum of the chosen scores (Switch): then, if nothing is
        dropped, w_i = s_i.
    renormalised
        Whether R is what is kept, so that the weights sum to T whatever was dropped, or what was chosen.
    """
    shares = _shares(logs, kept if renormalised else chosen)
    total = 1.0 if normalised else (logs.exp() * chosen).sum(1, keepdim=True)
    return shares * total * kept


def _shares(logs: Tensor, members: Tensor) -> Tensor:
    """Softmax over the members of each row; a row without any, whose shares nobody uses, is taken whole."""
    nobody = ~members.any(dim=1, keepdim=True)
    return torch.softmax(logs.masked_fill(~(members | nobody), -torch.inf), dim=1)


def gaussian(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers."""
    return torch.randn(shape, generator=generator, device=generator.device)


def gumbel(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw standard Gumbel numbers, -log(-log u): the largest of a row's sums names a softmax's draw."""
    draws = torch.empty(shape, device=generator.device).exponential_(generator=generator)
    return -draws.clamp(min=torch.finfo(draws.dtype).tiny).log()


NOISE = {"gaussian": gaussian, "gumbel": gumbel}
