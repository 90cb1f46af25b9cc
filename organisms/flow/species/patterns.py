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


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """How far n patterns reach, by their genes, on the device."""

    windows_n: Tensor  # the distance under which a token receives
    channels_n: Tensor
    positions_n: Tensor  # int64: from how many positions it receives
    most: int  # the largest of these

    @classmethod
    def of(cls, genes: Sequence[Mapping[str, float]], like: Tensor) -> "Reach":
        """Lay genes out on the device of a tensor, in its dtype."""
        windows_n, channels_n = (
            like.new_tensor([gene[name] for gene in genes]) for name in ("window", "channels")
        )
        positions = [int(gene["positions"]) for gene in genes]
        positions_n = torch.tensor(positions, dtype=torch.int64, device=like.device)
        return cls(windows_n, channels_n, positions_n, max(positions, default=1))


def seen(distances_SS: Tensor, windows_n: Tensor, causal: bool) -> Bool[Tensor, "n S S"]:
    """Return which tokens (columns) each token (row) of each pattern may receive from.

    Parameters
    ----------
    distances_SS
        Between every two tokens.
    windows_n
        Distance under which each of n patterns receives.
    causal
        Whether later tokens are hidden.
    """
    near_nSS = distances_SS < windows_n.view(-1, 1, 1)
    return near_nSS.tril() if causal else near_nSS


def flows(
    arrays: Mapping[str, Tensor],
    reach: Reach,
    h_BSD: Float[Tensor, "B S D"],
    distances_SS: Float[Tensor, "S S"],
    causal: bool,
) -> Flows:
    """Let n patterns move what the tokens of a stream offer.

    Parameters
    ----------
    arrays
        Of the n patterns, by name, [n, ...].
    reach
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
    lost_nCSS = lost_nCSS.masked_fill(~seen(distances_SS, reach.windows_n, causal).unsqueeze(1), -torch.inf)
    scores = (q_BnCSR.flatten(2, 3) @ o_BnSR.mT).unflatten(2, (C, -1)) + lost_nCSS
    rows_BnCSS = chosen(scores, reach).softmax(-1)
    has_nC1 = (torch.arange(C, device=h_BSD.device) < reach.channels_n.unsqueeze(1)).unsqueeze(-1)
    level_nC1 = arrays["level"].unsqueeze(-1)
    intensity_BnCS = 2 * (z_BnSR @ arrays["intensity"].mT).mT.add(level_nC1).sigmoid() * has_nC1
    received_BnCSR = (rows_BnCSS.flatten(2, 3) @ o_BnSR).unflatten(2, (C, -1))
    weighted_BnSCR = (received_BnCSR * intensity_BnCS.unsqueeze(-1)).transpose(2, 3)
    given_BnSR = weighted_BnSCR.flatten(3) @ arrays["value"].flatten(1, 2)
    return Flows(rows_BnCSS, intensity_BnCS, given_BnSR)


def chosen(scores: Float[Tensor, "B n C S S"], reach: Reach) -> Float[Tensor, "B n C S S"]:
    """Return the `positions` highest scores of each row, with all that equal the lowest, and -inf for others."""
    highest = scores.detach().topk(reach.most).values
    place = reach.positions_n.sub(1).view(-1, 1, 1, 1)
    lowest = highest.gather(-1, place.expand(*highest.shape[:-1], 1))
    return scores.masked_fill(scores < lowest, -torch.inf)
