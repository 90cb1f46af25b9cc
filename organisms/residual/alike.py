"""What a component is among those of its layer: how many directions it writes, and how like theirs it writes.

Over all tokens of some examples, with y_n [T, D] what component n adds to the stream:

- ``effective_rank``: participation ratio of the directions of y_n, in [0, D]
- ``coherence``: mean over the others m of the cosine of ``|y_nt|`` and ``|y_mt|`` over tokens t, in [0, 1]: whether it
  acts on the tokens that they act on
- ``correlation``: mean over the others m of the Pearson correlation of the entries of y_n and y_m, in [-1, 1]: whether
  it writes what they write

Without others both are 0. Source: the properties of a pseudopod in the Slime Mold Transformer blueprint, proto/model.
Differs from the source: coherence is that of attention patterns there, which only attention has.
"""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from torch.nn import functional as F

from kernels.correlation import correlation
from kernels.effective_rank import effective_rank
from organisms.residual.writes import Writes

OF_PAIRS = ("coherence", "correlation")
AT_HOME, IN_HOSTS = 1 << 19, 1 << 22  # entries of all y_n together, at most, unless one example has more


def at_home(writes: Writes) -> dict[str, Float64[Tensor, " n"]]:
    """Return the three properties of each component of a layer, on as many examples as are cheap."""
    few = _sampled(writes, AT_HOME)
    others = ~torch.eye(len(few.write), dtype=torch.bool, device=few.write.device)
    return {"effective_rank": _ranks(few)} | _pairs(few, others)


def in_host(guests: Writes, residents: Writes) -> dict[str, Float64[Tensor, " n"]]:
    """Return coherence and correlation of each of n guests with a host's own components of its layer.

    Parameters
    ----------
    guests
        What each writes when it alone joins them.
    residents
        What they write without it.
    """
    n, m = len(guests.write), len(residents.write)
    values = torch.cat([guests.values, residents.values], 1)
    together = _sampled(Writes(values, torch.cat([guests.write, residents.write])), IN_HOSTS)
    others = torch.zeros(n + m, n + m, dtype=torch.bool, device=values.device)
    others[:, n:] = True
    return {name: found[:n] for name, found in _pairs(together, others).items()}


def _sampled(writes: Writes, entries: int) -> Writes:
    n, _, D = writes.write.shape
    examples = max(1, entries // max(1, n * writes.values.shape[2] * D))
    return Writes(writes.values[:examples], writes.write)


def _ranks(writes: Writes) -> Float64[Tensor, " n"]:
    """Return the participation ratios, from the coordinates of y_n in a basis of the directions that n can write.

    The basis is orthonormal, so that the Gram matrix of the coordinates has the eigenvalues of that of y_n, but for
    zeros, and is of the inner size, which is mostly smaller.
    """
    if not len(writes.write):
        return writes.write.new_zeros(0, dtype=torch.float64)
    upper_nkW = torch.linalg.qr(writes.write.mT, mode="r").R
    inner_nTW = writes.values.transpose(0, 1).flatten(1, 2)
    return effective_rank(inner_nTW @ upper_nkW.mT).double()


def _pairs(writes: Writes, others: Bool[Tensor, "n n"]) -> dict[str, Float64[Tensor, " n"]]:
    """Return the mean of each row's likenesses to the others that count for it."""
    if not len(writes.write):
        return {name: writes.write.new_zeros(0, dtype=torch.float64) for name in OF_PAIRS}
    y_nTD = torch.stack(list(writes.dense())).flatten(1, 2)
    sizes_nT = F.normalize(torch.linalg.vector_norm(y_nTD, dim=-1).double(), dim=1)
    count = others.sum(1).clamp_min(1)
    pairs = (sizes_nT @ sizes_nT.T, correlation(y_nTD.flatten(1).T.double()))
    found = ((each * others).sum(1) / count for each in pairs)
    return dict(zip(OF_PAIRS, found, strict=True))
