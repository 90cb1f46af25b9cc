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

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kernels.kernel import Kernel
from organisms.residual.writes import Writes
from organisms.species import PROPERTIES
from qd.lifecycle.comonad import Coherence, SpatialContext, together

OF_PAIRS = ("coherence", "correlation")
AT_HOME, IN_HOSTS = 1 << 19, 1 << 22  # entries of all y_n together, at most, unless one example has more


def at_home(writes: Writes, context: SpatialContext[int] | None) -> dict[str, Float64[Tensor, " n"]]:
    """Return the three properties of each component of a layer, on as many examples as are cheap.

    Parameters
    ----------
    writes
        What each component writes.
    context
        The slots of the components, in the order of the writes; None where there are none.
    """
    n, device = len(writes.write), writes.write.device
    if context is None:
        return {name: torch.zeros(0, dtype=torch.float64, device=device) for name in PROPERTIES}
    few = _sampled(writes, AT_HOME)
    y_nTD = _dense(few)
    pattern = dict(zip(context.items, _amounts(y_nTD), strict=True)).__getitem__
    coherence = context.extend(Coherence(pattern, n)).items
    correlations_nn = _correlations(y_nTD, writes.kernel).fill_diagonal_(0.0)
    return {
        "effective_rank": _ranks(few),
        "coherence": torch.tensor(coherence, dtype=torch.float64, device=device),
        "correlation": correlations_nn.sum(1) / max(1, n - 1),
    }


def in_host(guests: Writes, residents: Writes, names: Sequence[str]) -> dict[str, Float64[Tensor, " n"]]:
    """Return how like a host's own components of its layer each of n guests writes.

    Parameters
    ----------
    guests
        What each writes when it alone joins them.
    residents
        What they write without it.
    names
        Of `OF_PAIRS`; no others are computed.
    """
    n, m = len(guests.write), len(residents.write)
    if not n or not names:
        return {name: guests.write.new_zeros(0, dtype=torch.float64) for name in names}
    values = torch.cat([guests.values, residents.values], 1)
    joint = Writes(values, torch.cat([guests.write, residents.write]), kernel=residents.kernel)
    y_nTD = _dense(_sampled(joint, IN_HOSTS))
    found = {}
    if "coherence" in names:
        amounts, coherence = _amounts(y_nTD), Coherence(np.asarray, m)
        cosines = [coherence(together([own, *amounts[n:]])) for own in amounts[:n]]
        found["coherence"] = torch.tensor(cosines, dtype=torch.float64, device=values.device)
    if "correlation" in names:
        found["correlation"] = _correlations(y_nTD, residents.kernel)[:n, n:].sum(1) / max(1, m)
    return found


def _sampled(writes: Writes, entries: int) -> Writes:
    n, _, D = writes.write.shape
    examples = max(1, entries // max(1, n * writes.values.shape[2] * D))
    return Writes(writes.values[:examples], writes.write, kernel=writes.kernel)


def _ranks(writes: Writes) -> Float64[Tensor, " n"]:
    """Return the participation ratios, from the coordinates of y_n in a basis of the directions that n can write.

    The basis is orthonormal, so that the Gram matrix of the coordinates has the eigenvalues of that of y_n, but for
    zeros, and is of the inner size, which is mostly smaller.
    """
    upper_nkW = torch.linalg.qr(writes.write.mT, mode="r").R
    inner_nTW = writes.values.transpose(0, 1).flatten(1, 2)
    return writes.kernel.effective_rank(inner_nTW @ upper_nkW.mT).double()


def _dense(writes: Writes) -> Float[Tensor, "n T D"]:
    return torch.stack(list(writes.dense())).flatten(1, 2)


def _amounts(y_nTD: Float[Tensor, "n T D"]) -> list[Float64[np.ndarray, " T"]]:
    """Return how much each component writes to every token."""
    return list(torch.linalg.vector_norm(y_nTD, dim=-1).double().cpu().numpy())


def _correlations(y_nTD: Float[Tensor, "n T D"], kernel: Kernel) -> Float64[Tensor, "n n"]:
    return kernel.correlation(y_nTD.flatten(1).T.double())
