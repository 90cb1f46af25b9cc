"""How tokens are written into a memory: by moving averages, outside of any graph.

Shape suffixes: B examples, T tokens of a block, M slots, D width.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.layers.norms import rms_norm


@torch.no_grad()
def written(bank: Float[Tensor, "B M D"], x: Float[Tensor, "B T D"], decay: float) -> Float[Tensor, "B M D"]:
    """Return each bank after a block of tokens was written into it.

    With v_t = rms_norm(x_t), a token addresses slots by a_tm = softmax_m(bank_m v_t / sqrt(D)); slot m moves to
    the mean of what addresses it, the more the more does:

        bank_m <- (1 - r_m) bank_m + r_m sum_t a_tm v_t / sum_t a_tm,    r_m = (1 - decay) min(1, sum_t a_tm)

    It is the moving average of a codebook (van den Oord et al. 2017, arXiv:1711.00937, appendix A.1), whose rate also
    falls where little is written. A mean of vectors is no longer than the longest: no slot ever exceeds sqrt(D) if none
    does at first.

    Parameters
    ----------
    bank
        Slots of every example, [B, M, D].
    x
        The block, [B, T, D].
    decay
        Share of a slot that stays, in [0, 1).
    """
    v_BTD = rms_norm(x.detach())
    a_BMT = (bank @ v_BTD.mT * bank.shape[-1] ** -0.5).softmax(1)
    total_BM1 = a_BMT.sum(-1, keepdim=True)
    mean_BMD = a_BMT @ v_BTD / total_BM1.clamp_min(torch.finfo(x.dtype).tiny)
    return bank.lerp(mean_BMD, (1 - decay) * total_BM1.clamp_max(1.0))


@torch.no_grad()
def histories(
    bank: Float[Tensor, "B M D"], x: Float[Tensor, "B S D"], decay: float, block: int
) -> tuple[Float[Tensor, "B J M D"], Float[Tensor, "B M D"]]:
    """Return the bank that each of the J blocks of a sequence reads, written by the blocks before it, and the last one.

    Parameters
    ----------
    bank
        Slots of every example before its first token, [B, M, D].
    x
        The sequences, [B, S, D].
    decay
        As `written` takes it.
    block
        Tokens of a block; the last one may have fewer.
    """
    read = []
    for tokens in x.split(block, 1):
        read.append(bank)
        bank = written(bank, tokens, decay)
    return torch.stack(read, 1), bank
