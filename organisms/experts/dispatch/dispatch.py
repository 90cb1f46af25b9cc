"""Three ways to bring tokens to experts and to combine the outputs, which agree in output and in every gradient.

Shape suffixes: N tokens, K choices of each, M choices that are kept, E experts, C capacity slots of each expert, D
width of the residual stream.

    sorted   M rows, sorted by expert: a gather, and a sum over each token's rows; the same bits each time
    indices  the token of each of [C, E] slots, as in the document: a gather, and a scatter back
    dense    products with one-hot tensors [E, C, N] (Lepikhin et al. 2020, GShard), for reading and for tests
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from organisms.experts.dispatch.placement import Placement, collected, spread
from organisms.experts.routing.decision import RoutingInfo

# From rows sorted by expert, and the ends of the experts' rows or None where all have as many, to expert outputs.
ExpertFunction: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]
Dispatch: TypeAlias = Callable[[Tensor, RoutingInfo, ExpertFunction], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class SortedRows:
    """The M kept choices of N tokens as rows, sorted by expert and within an expert by token."""

    placement: Placement  # of the rows at their tokens
    offsets_E: Tensor  # int64: the end of each expert's rows
    choice_M: Tensor  # int64: the kept choices, in the order of tokens, as indices into [N K]


def sorted_rows(
    experts: Int64[Tensor, "N K"], kept: Bool[Tensor, "N K"] | None, n_experts: int
) -> SortedRows:
    """Return the kept choices sorted by expert. Where all are kept the host need not ask the device how many they are.

    Parameters
    ----------
    experts
        Expert of each choice, [N, K].
    kept
        Whether it is computed, [N, K]; None: all are.
    n_experts
        E.
    """
    device, (N, K) = experts.device, experts.shape
    choice_M = torch.arange(N * K, device=device) if kept is None else kept.flatten().nonzero().squeeze(1)
    expert_M = experts.flatten().index_select(0, choice_M)
    # Stable, so that the order of an expert's rows is that of the tokens, whatever does the sorting.
    by_expert_M, rank_M = torch.sort(expert_M, stable=True)
    token_M = (choice_M // K).index_select(0, rank_M)
    rows_M = torch.empty_like(rank_M).scatter_(0, rank_M, torch.arange(len(rank_M), device=device))
    if kept is None:
        starts_N = torch.arange(0, N * K, K, device=device)
    else:
        kept_N = kept.sum(1)
        starts_N = kept_N.cumsum(0) - kept_N
    ends_E = torch.searchsorted(by_expert_M, torch.arange(n_experts, device=device), right=True)
    return SortedRows(Placement(token_M, rows_M, rank_M, starts_N), ends_E, choice_M)


def by_sorting(
    x: Float[Tensor, "N D"], routing: RoutingInfo, experts: ExpertFunction
) -> Float[Tensor, "N D"]:
    """Return the weighted sum of each token's expert outputs, computed from rows that are sorted by expert.

    Parameters
    ----------
    x
        Tokens, [N, D].
    routing
        The experts of each token, and the weights of their outputs.
    experts
        Computes the outputs of sorted rows, [M, D], given the ends of the experts' rows, [E].
    """
    rows = sorted_rows(routing.experts, routing.kept, routing.n_experts)
    weights_M = routing.weights.flatten().index_select(0, rows.choice_M).to(x.dtype)
    return collected(experts(spread(x, rows.placement), rows.offsets_E), rows.placement, weights_M)


def by_indices(
    x: Float[Tensor, "N D"], routing: RoutingInfo, experts: ExpertFunction
) -> Float[Tensor, "N D"]:
    """Return the same, computed from C slots of each expert that are filled with its tokens.

    A free slot holds the first token, with weight zero. On a CUDA device the outputs of a token are added in any order,
    unless deterministic algorithms are asked for.

    Parameters
    ----------
    x, routing, experts
        As in `by_sorting`; the offsets are None.
    """
    token_CE, taken_CE = routing.top_idx, routing.valid_ce
    weight_CE = routing.combine_weights.gather(0, token_CE) * taken_CE
    token_EC = token_CE.T.flatten()
    outputs = experts(x.index_select(0, token_EC), None)
    weighted = outputs * weight_CE.T.flatten().unsqueeze(1).to(x.dtype)
    return torch.zeros_like(x).index_add(0, token_EC, weighted)


def by_products(
    x: Float[Tensor, "N D"], routing: RoutingInfo, experts: ExpertFunction
) -> Float[Tensor, "N D"]:
    """Return the same, computed by matrix products with a tensor that is 1 where a slot has a token.

    Parameters
    ----------
    x, routing, experts
        As in `by_indices`.
    """
    token_EC, taken_EC = routing.top_idx.T, routing.valid_ce.T
    one_hot_ECN = (token_EC.unsqueeze(-1) == torch.arange(len(x), device=x.device)) & taken_EC.unsqueeze(-1)
    dispatch_ECN = one_hot_ECN.to(x.dtype)
    combine_ECN = dispatch_ECN * routing.combine_weights.T.to(x.dtype).unsqueeze(1)
    rows_ECD = torch.einsum("ecn,nd->ecd", dispatch_ECN, x)
    outputs_ECD = experts(rows_ECD.flatten(0, 1), None).view_as(rows_ECD)
    return torch.einsum("ecn,ecd->nd", combine_ECN, outputs_ECD)


DISPATCH: Mapping[str, Dispatch] = MappingProxyType(
    {"sorted": by_sorting, "indices": by_indices, "dense": by_products}
)
