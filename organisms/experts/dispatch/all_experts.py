"""The outputs of all experts for all tokens: E / K times the work, but nothing depends on where tokens go."""

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.experts.dispatch.expert_outputs import Experts


def by_computing_all(
    x: Float[Tensor, "N D"], weights: Float[Tensor, "N E"], experts: Experts
) -> Float[Tensor, "N D"]:
    """Return what `organisms.experts.dispatch.dispatch` returns: the weighted sum of each token's expert outputs.

    For programs that are recorded (`kernels.exporting`), whose sizes may not depend on the choices of a router.

    Parameters
    ----------
    x
        Tokens, [N, D].
    weights
        Weight of each expert's output in that of each token, 0 where it is not wanted, [N, E].
    experts
        Matrices and activation.
    """
    h_ENP = x @ experts.W1
    if experts.b1 is not None:
        h_ENP = h_ENP + experts.b1.unsqueeze(1)
    y_END = experts.activation(h_ENP) @ experts.W2
    if experts.b2 is not None:
        y_END = y_END + experts.b2.unsqueeze(1)
    return torch.einsum("ne,end->nd", weights.to(x.dtype), y_END)
