"""What the experts of a layer add to the stream at home, and what an expert does as a guest among a host's own.

Shape suffixes: B examples, S tokens, T = B S, C slots, n experts, D residual width, H hidden width.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.species.cost import cost
from organisms.experts.species.shares import chosen, every_output, redirected, shares
from organisms.residual.organism import Described, Observed, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Logits, hidden activations and outputs of n experts for T tokens, routed to them or not."""

    logits_Tn: Tensor
    hidden_BnSH: Tensor
    outputs_nTD: Tensor
    genes: Sequence[Mapping[str, float]]


@dataclass(frozen=True, eq=False, kw_only=True)
class ObservedExperts(Observed):
    """What the experts of a layer add to the stream, and what they would add without one of them."""

    k: int
    living: Sequence[int]
    logits_Tn: Tensor
    hidden_BCSH: Tensor

    def without(self, slots: Sequence[int]) -> Iterator[Tensor]:
        """Return the change when each of n slots alone is gated off: tokens go to their next largest logits."""
        B, _, S, _ = self.hidden_BCSH.shape
        before_Tn = shares(self.logits_Tn, self.k)
        outputs_nTD = every_output(self.hidden_BCSH[:, self.living], self.writes.write[self.living])
        for slot in slots:
            others = [n for n, other in enumerate(self.living) if other != slot]
            after_Tn = torch.zeros_like(before_Tn)
            after_Tn[:, others] = shares(self.logits_Tn[:, others], self.k)
            yield redirected(before_Tn, after_Tn, outputs_nTD).unflatten(0, (B, S))


def observe(
    k: int, living: Sequence[int], logits_BSC: Tensor, hidden_BCSH: Tensor, down_CHD: Tensor
) -> ObservedExperts:
    """Observe what every expert of a layer adds to the stream, and how many tokens are routed to it.

    Parameters
    ----------
    k
        Experts that each token is routed to.
    living
        Slots with experts.
    logits_BSC
        Router logits of every slot for every token.
    hidden_BCSH
        Hidden activations of every slot for every token.
    down_CHD
        Output matrices of the experts.
    """
    B, C, S, _ = hidden_BCSH.shape
    logits_Tn = logits_BSC.flatten(0, 1)[:, living]
    shares_BSC = _at(living, shares(logits_Tn, k), C).unflatten(0, (B, S))
    return ObservedExperts(
        writes=Writes(hidden_BCSH * shares_BSC.transpose(1, 2).unsqueeze(-1), down_CHD),
        routed_tokens=_at(living, chosen(logits_Tn, k), C).unflatten(0, (B, S)).sum(1),
        k=k,
        living=living,
        logits_Tn=logits_Tn,
        hidden_BCSH=hidden_BCSH,
    )


def describe(task: Task, k: int, dim: int, residents: Candidates, guests: Candidates) -> Described:
    """Measure each of n experts when its column alone joins the router of a host.

    A token's mass m is the norm of what the expert adds to it, as a share of the example's. The span is the mean
    distance of two different tokens, ``sum_s sum_t m_s m_t d(s, t) / (1 - sum_s m_s^2)``, the locality the
    entropy of m over its largest value; both are means over the examples that have tokens routed to the expert, and 0
    where none has. The sparsity is that of its hidden units for the tokens routed to it, and the intensity that of all
    these tokens together, for which its matrices are read once.

    Differs from the mean over all pairs of tokens, and from counts by example: those are almost functions of the number
    of tokens routed to an expert, and four measures would be one.

    Parameters
    ----------
    task
        Distances between its tokens are those of the span.
    k
        Experts that each token is routed to.
    dim
        Width of the residual stream.
    residents
        The host's own experts of the layer.
    guests
        The n experts.
    """
    B, _, S, _ = guests.hidden_BnSH.shape
    distances = torch.tensor(task.distances, dtype=torch.float64, device=guests.logits_Tn.device)
    rows = []
    for logits_T, hidden_BSH, outputs_TD, gene in zip(
        guests.logits_Tn.unbind(1),
        guests.hidden_BnSH.unbind(1),
        guests.outputs_nTD,
        guests.genes,
        strict=True,
    ):
        joined_Tn = torch.cat([residents.logits_Tn, logits_T.unsqueeze(1)], 1)
        weight_T = shares(joined_Tn, k)[:, -1]
        answers_BS = chosen(joined_Tn, k)[:, -1].unflatten(0, (B, S))
        # In float64 for the difference from 1, of a token that has nearly all.
        mass_BS = (weight_T * torch.linalg.vector_norm(outputs_TD, dim=-1)).double().unflatten(0, (B, S))
        quiet = quiet_share(hidden_BSH[answers_BS][:, : int(gene["hidden"])]).double()
        flops, bytes_moved = cost(task, dim, gene, int(answers_BS.sum()), B)
        intensity = quiet.new_tensor(math.log2(flops / bytes_moved))
        rows.append(torch.stack([*_spread(mass_BS, distances), quiet, intensity]))
    span, locality, sparsity, intensity = (
        torch.stack(rows, 1) if rows else distances.new_zeros(4, 0)
    ).unbind(0)
    return Described(span, sparsity, locality / max(math.log(task.length), 1e-12), intensity)


def _spread(mass_BS: Tensor, distances_SS: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean distance of two tokens and the entropy of one, drawn by their mass, over the examples used."""
    whole_B = mass_BS.sum(-1)
    used = (whole_B > 0).sum().clamp_min(1)
    share_BS = mass_BS / whole_B.clamp_min(1e-30).unsqueeze(-1)
    pairs_B = (1 - share_BS.square().sum(-1)).clamp_min(1e-12)
    distance_B = ((share_BS @ distances_SS) * share_BS).sum(-1) / pairs_B
    entropy_B = -torch.xlogy(share_BS, share_BS).sum(-1)
    return distance_B.sum() / used, entropy_B.sum() / used


def _at(slots: Sequence[int], values_Tn: Tensor, capacity: int) -> Tensor:
    """Put the columns of the living slots among zeros, [T, C]."""
    placed_TC = values_Tn.new_zeros(len(values_Tn), capacity)
    placed_TC[:, slots] = values_Tn
    return placed_TC
