"""The flows of some patterns of a layer, in stacked matrix products.

Shape suffixes: B examples, S tokens, n patterns, C channels of a pattern, R reduced width, D residual width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from organisms.flow.matrix.distance import distance_cost
from organisms.residual.organism import projected


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """How n patterns move what tokens offer. With what a pattern has not, there are zeros."""

    rows_BnCSS: Tensor  # from where each token receives in each channel: each row sums to 1
    intensity_BnCS: Tensor  # how much
    given_BnSR: Tensor  # what every token is given by it, before it is written


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
) -> Flows:
    """Let n patterns move what the tokens of a stream offer.

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
    n, C, R, _ = arrays["match"].shape
    q_BnSCR = (z_BnSR @ arrays["match"].transpose(1, 2).reshape(n, R, C * R)).unflatten(-1, (C, R))
    q_BnCSR = q_BnSCR.transpose(2, 3)
    # Channels lie behind one another, so that no product has to copy what their tokens offer.
    lost_nCSS = -distance_cost(distances_SS, F.softplus(arrays["decay"])[..., None, None], None)
    lost_nCSS = lost_nCSS.masked_fill(~seen(distances_SS, genes, causal).unsqueeze(1), -torch.inf)
    scores = (q_BnCSR.flatten(2, 3) @ o_BnSR.mT).unflatten(2, (C, -1)) + lost_nCSS
    rows_BnCSS = chosen(scores, [int(gene["positions"]) for gene in genes]).softmax(-1)
    channels_n1 = distances_SS.new_tensor([gene["channels"] for gene in genes]).unsqueeze(1)
    has_nC1 = (torch.arange(C, device=h_BSD.device) < channels_n1).unsqueeze(-1)
    level_nC1 = arrays["level"].unsqueeze(-1)
    intensity_BnCS = 2 * (z_BnSR @ arrays["intensity"].mT).mT.add(level_nC1).sigmoid() * has_nC1
    received_BnCSR = (rows_BnCSS.flatten(2, 3) @ o_BnSR).unflatten(2, (C, -1))
    weighted_BnSCR = (received_BnCSR * intensity_BnCS.unsqueeze(-1)).transpose(2, 3)
    given_BnSR = weighted_BnSCR.flatten(3) @ arrays["value"].flatten(1, 2)
    return Flows(rows_BnCSS, intensity_BnCS, given_BnSR)


def chosen(scores: Float[Tensor, "B n C S S"], positions: Sequence[int]) -> Float[Tensor, "B n C S S"]:
    """Return the K highest scores of each row, with all that equal the lowest of them, and -inf for the others.

    Parameters
    ----------
    scores
        Of n patterns.
    positions
        K of each pattern.
    """
    most = max(positions, default=1)
    highest = scores.detach().topk(most).values
    place = torch.tensor(positions, dtype=torch.int64, device=scores.device).sub(1).view(-1, 1, 1, 1)
    lowest = highest.gather(-1, place.expand(*highest.shape[:-1], 1))
    return scores.masked_fill(scores < lowest, -torch.inf)
