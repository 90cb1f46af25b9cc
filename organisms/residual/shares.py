"""Token choice: the weights of the k components that each token goes to, and what changes when one comes or goes.

Shape suffixes: T tokens, n components, k choices of a token, D residual width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from organisms.layers.choice import largest


def mixture(logits_Tn: Tensor, chosen_Tk: Tensor) -> Tensor:
    """Return the weights of the chosen components, [T, k]: the softmax of their logits (Mixtral, Jiang et al. 2024).

    With k = 1 that would always be 1 and leave the logits without a gradient from the task; so the weight is the
    chosen one's probability in the softmax over all n (Switch, Fedus et al. 2022).
    """
    if chosen_Tk.shape[1] == 1:
        return torch.softmax(logits_Tn, -1).gather(1, chosen_Tk)
    return torch.softmax(logits_Tn.gather(1, chosen_Tk), -1)


def best(logits: Float[Tensor, "T n"], k: int) -> Int[Tensor, "T k"]:
    """Return the k components of the largest logits of each token; all where they are fewer, even none."""
    fewer = min(k, logits.shape[1])
    return largest(logits, fewer) if fewer else logits.new_zeros(len(logits), 0, dtype=torch.int64)


def chosen(logits: Float[Tensor, "T n"], k: int) -> Bool[Tensor, "T n"]:
    """Return a mask of the k largest logits of each token; of equal ones the first count."""
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, best(logits, k), True)


def shares(logits: Float[Tensor, "T n"], k: int) -> Float[Tensor, "T n"]:
    """Return the weights of the k components of each token's largest logits (of all if they are fewer), 0 elsewhere."""
    return weights(logits, best(logits, k))


def weights(logits: Float[Tensor, "T n"], choices: Int[Tensor, "T k"]) -> Float[Tensor, "T n"]:
    """Return the weights of the chosen components of each token, 0 of the others."""
    return torch.zeros_like(logits).scatter(1, choices, mixture(logits, choices))


def every_output(values: Float[Tensor, "B n S W"], write: Float[Tensor, "n W D"]) -> Float[Tensor, "n T D"]:
    """Return the output of every component for every token of B examples, T = B S, from its values."""
    return values.transpose(0, 1).flatten(1, 2) @ write


def redirected(
    before: Float[Tensor, "T n"], after: Float[Tensor, "T n"], outputs: Float[Tensor, "n T D"]
) -> Float[Tensor, "T D"]:
    """Return the change of the weighted sum of outputs: exactly 0 for a token whose weights stay.

    Parameters
    ----------
    before, after
        Weights of the components for every token.
    outputs
        Outputs of the components for every token, chosen or not.
    """
    change = outputs.new_zeros(outputs.shape[1:])
    for shift_T, outputs_TD in zip((after - before).unbind(1), outputs, strict=True):
        change.addcmul_(shift_T.unsqueeze(1), outputs_TD)
    return change
