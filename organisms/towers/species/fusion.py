"""How much each tower's opinion counts for a token, and what changes when one joins the others.

The fusions are those of the library (`organisms.towers.fusion`), but for one thing: what reads an opinion belongs to
its tower, so that it is born and dies with it. With s_n = norm(u_n) . score_n:

- adaptive: ``softmax_n(s_n + log gate_n)``, shares that sum to 1; a gate multiplies odds, and one that is gated off is
  as if it were not there
- gated: ``gate_n sigmoid(s_n)``, each by itself
- sum: ``gate_n``

Shape suffixes: B examples, S tokens, n towers.
"""

import torch
from torch import Tensor

from organisms.towers.species.options import Fusion


def weights(fusion: Fusion, scores_BSn: Tensor, gates_n: Tensor | None = None) -> Tensor:
    """Return how much each of n towers counts for each token, [B, S, n].

    Parameters
    ----------
    fusion
        Says how.
    scores_BSn
        What each tower gives its own opinion; of `sum` the shape counts alone.
    gates_n
        Gates of the towers, in (0, 1]; None: all are 1.
    """
    if fusion == "adaptive":
        return torch.softmax(scores_BSn if gates_n is None else scores_BSn + gates_n.log(), -1)
    open_BSn = scores_BSn.sigmoid() if fusion == "gated" else torch.ones_like(scores_BSn)
    return open_BSn if gates_n is None else open_BSn * gates_n


def joining(fusion: Fusion, guests_BSn: Tensor, residents_BSm: Tensor) -> Tensor:
    """Return how much each of n guests counts when it alone joins m residents, [B, S, n].

    Where towers compete, the residents' shares shrink together, to ``1 - weight`` of what they are among themselves.

    Parameters
    ----------
    fusion
        Says how.
    guests_BSn, residents_BSm
        Their scores.
    """
    if fusion == "adaptive":
        return torch.sigmoid(guests_BSn - residents_BSm.logsumexp(-1, keepdim=True))
    return weights(fusion, guests_BSn)
