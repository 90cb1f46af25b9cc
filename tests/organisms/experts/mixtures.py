"""Small mixtures in float64, and what they compute by definition: a token at a time, an expert at a time."""

import torch
from torch import Tensor

from organisms.experts.dispatch.expert_outputs import Experts
from organisms.experts.routing.decision import RoutingInfo
from organisms.layers.activations import ACTIVATIONS
from tests.organisms.layers.definitions import GATED, D, H, activated, drawn


def some_experts(
    number: int, activation: str = "swiglu", *, bias: bool = True, dtype: torch.dtype = torch.float64
) -> tuple[Experts, list[Tensor]]:
    """Experts, and their parameters, which require gradients."""
    columns = 2 * H if activation in GATED else H
    shapes = [(number, D, columns), (number, H, D)] + ([(number, columns), (number, D)] if bias else [])
    leaves = [drawn(*shape, seed=9 + i, dtype=dtype).requires_grad_() for i, shape in enumerate(shapes)]
    biases = leaves[2:] if bias else (None, None)
    return Experts(*leaves[:2], *biases, ACTIVATIONS[activation]), leaves


def some_routing(
    tokens: int,
    experts: int,
    choices: int,
    *,
    kept: float = 1.0,
    limit: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> RoutingInfo:
    """Different experts for each token, and weights that do not sum to one; a share of them is kept."""
    stream = torch.Generator().manual_seed(seed)
    gates = torch.rand(tokens, experts, generator=stream, dtype=dtype)
    chosen = gates.argsort(1, descending=True)[:, :choices]
    keep = torch.rand(tokens, choices, generator=stream) < kept
    weights = (gates.gather(1, chosen) * keep).requires_grad_()
    return routing(chosen, weights, keep, experts, limit=limit)


def routing(
    chosen: Tensor, weights: Tensor, kept: Tensor, experts: int, *, limit: bool = False
) -> RoutingInfo:
    """A routing by these choices; with a limit the capacity is one slot more than the largest load."""
    nothing = weights.new_zeros(())
    gates = weights.new_zeros(len(chosen), experts)
    busiest = int(torch.bincount(chosen[kept], minlength=experts).max()) if kept.any() else 0
    return RoutingInfo(
        *(chosen, weights, kept, kept, torch.ones(len(chosen), dtype=torch.bool), gates, gates),
        busiest + 1 if limit else None,
        *(nothing, nothing, nothing, nothing, {}),
    )


def expert_output(row: Tensor, experts: Experts, expert: int, activation: str) -> Tensor:
    """The output of one expert for one token."""
    h = row @ experts.W1[expert]
    if experts.b1 is not None:
        h = h + experts.b1[expert]
    y = activated(h, activation) @ experts.W2[expert]
    return y if experts.b2 is None else y + experts.b2[expert]


def by_tokens(x: Tensor, info: RoutingInfo, experts: Experts, activation: str) -> Tensor:
    """Go through the tokens, and for each through its experts."""
    rows = []
    for row, chosen, weights, kept in zip(x, info.experts, info.weights, info.kept, strict=True):
        own = 0 * row
        for expert, weight, counts in zip(chosen.tolist(), weights, kept.tolist(), strict=True):
            if counts:
                own = own + weight * expert_output(row, experts, expert, activation)
        rows.append(own)
    return torch.stack(rows) if rows else x
