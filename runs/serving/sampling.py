"""The next symbols by their logits: draws of named streams, so that a request with a seed is answered alike again.

Shape suffixes: n sequences, V symbols.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from qd.seeding import uniform


@dataclass(frozen=True, slots=True)
class Choice:
    """How the next symbol of one sequence is chosen.

    Parameters
    ----------
    temperature
        Divides the logits; 0: the symbol of the largest is taken, and nothing drawn.
    top_k
        Symbols of the largest logits among which is drawn; 0: all.
    top_p
        The likeliest symbols are kept until their probabilities, before that of the last, reach this (Holtzman et al.
        2020); 0: the likeliest alone, 1: all.
    draw
        In [0, 1]: where in the sum of the probabilities, likeliest first, the symbol lies.
    """

    temperature: float
    top_k: int
    top_p: float
    draw: float


def draw(seed: int, step: int) -> float:
    """Return the draw that belongs to the new token number `step` of a request with this seed, in [0, 1]."""
    return uniform(seed, step, "serving:next-token")


def next_symbols(logits: Float[Tensor, "n V"], choices: Sequence[Choice]) -> list[int]:
    """Return a symbol for each sequence, from p ~ exp(logits / temperature) over those that top_k and top_p keep.

    In float64, and each row by itself: who else is in the batch changes nothing.

    Parameters
    ----------
    logits
        Finite, [n, V].
    choices
        One for each row.

    Raises
    ------
    ValueError
        If there are not as many.
    """
    if len(choices) != len(logits):
        raise ValueError(f"choices must be as many as rows of logits, {len(logits)}, but are {len(choices)}")
    if all(choice.temperature == 0 for choice in choices):
        return [int(best) for best in logits.argmax(1).tolist()]
    exact = logits.cpu().double()
    V = exact.shape[1]

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[:, None]

    temperature = column([choice.temperature or 1.0 for choice in choices])
    kept = column([min(choice.top_k or V, V) for choice in choices])  # a whole number has no end, float64 has
    greedy = column([choice.temperature for choice in choices]) == 0
    kept = torch.where(greedy, 1.0, kept)
    # From the largest, so that a small temperature cannot make an infinity.
    sorted_nV, symbol_nV = exact.sort(dim=1, descending=True, stable=True)
    p_nV = ((sorted_nV - sorted_nV[:, :1]) / temperature).softmax(1)
    p_nV = p_nV.masked_fill(torch.arange(V) >= kept, 0)
    p_nV = p_nV / p_nV.sum(1, keepdim=True)
    before_nV = p_nV.cumsum(1) - p_nV
    out = before_nV >= column([choice.top_p for choice in choices])
    out[:, 0] = False
    p_nV = p_nV.masked_fill(out, 0)
    sums_nV = p_nV.cumsum(1)
    wanted = column([choice.draw for choice in choices]) * sums_nV[:, -1:]
    place = torch.searchsorted(sums_nV, wanted, right=True)
    last = (p_nV > 0).sum(1, keepdim=True) - 1  # a draw of 1 belongs to the last that can be drawn
    return [int(symbol) for symbol in symbol_nV.gather(1, torch.minimum(place, last)).squeeze(1).tolist()]
