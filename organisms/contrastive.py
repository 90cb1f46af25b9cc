"""The contrastive loss of representations: like ones lie near one another, others apart.

With vectors z_i of unit length, temperature tau, and P(i) the others that are like i:

    L = -mean_i mean_{j in P(i)} log( exp(z_i z_j / tau) / sum_{k != i} exp(z_i z_k / tau) ),

over those i that have one like them; 0 if none has. With one like each it is InfoNCE (van den Oord et al. 2018; as
NT-Xent, Chen et al. 2020), with classes the supervised contrastive loss (Khosla et al. 2020, "out").
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def contrastive(z: Float[Tensor, "N D"], kinds: Int64[Tensor, " N"], temperature: float) -> Float[Tensor, ""]:
    """Return the loss, in nats.

    Parameters
    ----------
    z
        Vectors, at least two.
    kinds
        Those of one kind are like one another.
    temperature
        tau; small ones weight near pairs more.
    """
    z = F.normalize(z, dim=-1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    scores = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    logs = scores - scores.logsumexp(1, keepdim=True)
    like = (kinds[:, None] == kinds) & ~itself
    number = like.sum(1)
    each = -logs.masked_fill(~like, 0.0).sum(1) / number.clamp_min(1)
    return each.sum() / (number > 0).sum().clamp_min(1)


def views(x_BSD: Float[Tensor, "B S D"], classes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the vectors that are compared, and of which kind each is.

    Where examples have classes, the vectors are the means over tokens, and of a kind are those of a class. Otherwise
    an example has two views, the means over its even and over its odd tokens, so that neighbouring positions come into
    different ones; these two are like one another and like no other.

    Parameters
    ----------
    x_BSD
        Representations of the tokens of B examples.
    classes
        Of the examples, [B]; None: they have none.
    """
    if classes is not None:
        return x_BSD.mean(1), classes
    both = torch.cat([x_BSD[:, ::2].mean(1), x_BSD[:, 1::2].mean(1)])
    return both, torch.arange(len(x_BSD), device=x_BSD.device).repeat(2)
