"""How the heads of a layer behave on sequences of the last batch: where they look, and what they write.

Shape suffixes: B sequences, C slots, S tokens, D width, R and W sizes of a head.
"""

import math

import torch
from torch import Tensor

from kernels.kernel import Visible, merged
from organisms.pseudopods.heads import PseudopodAttention

MEASURES = ("attention_span", "attention_entropy", "effective_rank", "write_strength", "compute_intensity")
SMALLEST = 1e-12  # share of the stream that is still told from none


@torch.no_grad()
def observed(
    heads: PseudopodAttention, x: Tensor, visible: Visible, examples: int
) -> list[tuple[float, ...]]:
    """Return the first four of `MEASURES` of each slot; the fifth follows from its genes.

    Measures mean what `qd.measures` says, but are taken in the encoder itself and on few sequences, not in reference
    hosts on a probe split. Distances are between places in the sequence, and sizes against what the heads read.

    Parameters
    ----------
    heads
        Of a layer.
    x
        What they read in the last forward pass, [B, S, D].
    visible
        Which tokens see which.
    examples
        How many sequences are looked at, from the first on.
    """
    x = x[:examples]
    q_BCSR, k_BCSR, v_BCSW = heads.read(x)
    (B, C, S, _), W = q_BCSR.shape, v_BCSW.shape[-1]
    bias = merged(_first(visible, examples), q_BCSR)
    place = torch.arange(S, device=x.device, dtype=torch.float32)
    distance_SS = (place[:, None] - place).abs()
    totals = x.new_zeros(2, C, dtype=torch.float32)
    gram_CWW = x.new_zeros(C, W, W, dtype=torch.float32)
    for b in range(B):  # the weights of all sequences at once would take too much memory
        scores_CSS = (q_BCSR[b] @ k_BCSR[b].mT).float()
        if bias is not None:
            scores_CSS = scores_CSS + _of_sequence(bias, b)
        weights_CSS = scores_CSS.softmax(-1).nan_to_num(0.0)  # a query that sees nothing has no weights
        totals[0] += (weights_CSS * distance_SS).sum(-1).mean(-1)
        totals[1] += torch.special.entr(weights_CSS).sum(-1).mean(-1)
        attended_CSW = weights_CSS @ v_BCSW[b].float()
        gram_CWW += attended_CSW.mT @ attended_CSW
    span, entropy = totals / max(B, 1)
    factor_CWD = heads.output.float()
    written_CWW = gram_CWW @ (factor_CWD @ factor_CWD.mT)  # as y^T y of what is written, but for zeros
    power = written_CWW.diagonal(dim1=1, dim2=2).sum(1).clamp(min=0)
    spread = (written_CWW * written_CWW.mT).sum((1, 2))
    rank = power.square() / torch.where(spread > 0, spread, 1.0)
    strength = (power / x.float().square().sum()).clamp(min=SMALLEST**2).log10() / 2
    found = torch.stack([span / max(S - 1, 1), entropy / math.log(max(S, 2)), rank, strength])
    return [tuple(values) for values in found.T.tolist()]


def _first(visible: Visible, examples: int) -> Visible:
    keys, bias = visible.keys, visible.bias
    if bias is not None and bias.ndim == 4:
        bias = bias[:examples]
    return Visible(visible.causal, None if keys is None else keys[:examples], bias)


def _of_sequence(bias: Tensor, b: int) -> Tensor:
    return bias[min(b, len(bias) - 1)].float() if bias.ndim == 4 else bias.float()
