"""How tokens are written into a memory: by moving averages, outside of any graph.

Shape suffixes: B examples, T tokens of a block, M slots, D width.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from organisms.layers.norms import rms_norm


@torch.no_grad()
def written(bank: Float[Tensor, "B M D"], v: Float[Tensor, "B T D"], decay: float) -> Float[Tensor, "B M D"]:
    """Return each bank after a block of tokens was written into it.

    Every token belongs to the slot that is nearest to it, and slots move to the mean of theirs:

        m_t = argmin_m |bank_m - v_t|,    bank_m <- decay bank_m + (1 - decay) mean of the v_t with m_t = m

    Where no token belongs to a slot it stays. It is the moving average of a codebook (van den Oord et al. 2017,
    arXiv:1711.00937, appendix A.1), without its counts. What is like nothing before it takes a slot that nothing was
    written into, as those are short and so nearer than others; what a slot holds already changes it little. So what
    came once stays until something comes that is nearer to its slot than to all others. (Were every token written into
    all slots, each as far as it is like it, all would hold about the same mean, in which one token is lost.)

    A mean of vectors is no longer than the longest: no slot ever exceeds sqrt(D) if none does at first.

    Parameters
    ----------
    bank
        Slots of every example, [B, M, D].
    v
        The block, as `rms_norm` gives it, [B, T, D].
    decay
        Share of a slot that stays where something is written into it, in [0, 1).
    """
    # |bank - v|^2 / 2 without what is the same for all slots.
    far_BMT = bank.square().sum(-1, keepdim=True) / 2 - bank @ v.mT
    belongs_BMT = F.one_hot(far_BMT.argmin(1), bank.shape[1]).mT.to(v.dtype)
    number_BM1 = belongs_BMT.sum(-1, keepdim=True)
    mean_BMD = belongs_BMT @ v / number_BM1.clamp_min(1)
    return bank.lerp(mean_BMD, (1 - decay) * number_BM1.clamp_max(1))


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
    for tokens in rms_norm(x.detach()).split(block, 1):
        read.append(bank)
        bank = written(bank, tokens, decay)
    return torch.stack(read, 1), bank
