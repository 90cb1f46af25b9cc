"""The flows of some patterns of a layer, in stacked matrix products.

Shape suffixes: B examples, S tokens, n patterns, C channels of a pattern, R reduced width, D residual width.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from organisms.flow.matrix.distance import distance_cost
from organisms.residual.organism import projected


def seen(distances_SS: Tensor, genes: Sequence[Mapping[str, float]], causal: bool) -> Bool[Tensor, "n S S"]:
    """Return which tokens (columns) each token (row) of each pattern may receive from.

    Parameters
    ----------
    distances_SS
        Between every two tokens.
    genes
        Of the n patterns; `window` counts.
    causal
        Whether later tokens are hidden.
    """
    windows_n11 = distances_SS.new_tensor([gene["window"] for gene in genes]).view(-1, 1, 1)
    near_nSS = distances_SS < windows_n11
    return near_nSS.tril() if causal else near_nSS


def flows(
    arrays: Mapping[str, Tensor],
    genes: Sequence[Mapping[str, float]],
    h_BSD: Float[Tensor, "B S D"],
    distances_SS: Float[Tensor, "S S"],
    causal: bool,
) -> tuple[Float[Tensor, "B n C S S"], Float[Tensor, "B n S R"]]:
    """Return the flow matrices of every channel, receivers in rows, and what every token is given by them.

    Of each row the K highest scores are chosen, with all that are equal to the lowest of them. Where a pattern has
    fewer channels there are zeros.

    Parameters
    ----------
    arrays
        Of the n patterns, by name, [n, ...].
    genes
        Of the n patterns.
    h_BSD
        The normalised stream of the network.
    distances_SS
        Between every two tokens.
    causal
        Whether later tokens are hidden.
    """
    z_BnSR, o_BnSR = (projected(h_BSD, arrays[name]) for name in ("look", "offer"))
    q_BnCSR = z_BnSR.unsqueeze(2) @ arrays["match"]
    decay_nC11 = F.softplus(arrays["decay"])[..., None, None]
    cost_nCSS = distance_cost(distances_SS, decay_nC11, None)
    scores = q_BnCSR @ o_BnSR.unsqueeze(2).mT - cost_nCSS
    scores = scores.masked_fill(~seen(distances_SS, genes, causal).unsqueeze(1), -torch.inf)
    positions = [int(gene["positions"]) for gene in genes]
    highest = scores.detach().topk(max(positions, default=1)).values
    place = torch.tensor(positions, dtype=torch.int64, device=h_BSD.device).sub(1).view(-1, 1, 1, 1)
    place = place.expand(*highest.shape[:-1], 1)
    scores = scores.masked_fill(scores < highest.gather(-1, place), -torch.inf)
    channels_n1 = distances_SS.new_tensor([gene["channels"] for gene in genes]).unsqueeze(1)
    has_nC = torch.arange(scores.shape[2], device=h_BSD.device) < channels_n1
    level_nC1 = arrays["level"].unsqueeze(-1)
    intensity = 2 * (z_BnSR @ arrays["intensity"].mT).mT.add(level_nC1).sigmoid() * has_nC.unsqueeze(-1)
    flow = intensity.unsqueeze(-1) * scores.softmax(-1)
    return flow, (flow @ o_BnSR.unsqueeze(2) @ arrays["value"]).sum(2)
