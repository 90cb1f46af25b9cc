"""Measurements of the experts of a layer: what each adds to the stream, for which tokens, and what its gate changes.

Shape suffixes: B examples, S tokens, T = B S, C slots, n of them with experts, D residual width, H hidden width.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.species.cost import cost
from organisms.experts.species.shares import chosen, every_output, redirected, shares
from organisms.residual.organism import Observed, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class ObservedExperts(Observed):
    """What the experts of a layer add to the stream, and what they would add with other router weights."""

    k: int
    living: Sequence[int]
    logits_Tn: Tensor
    hidden_BCSH: Tensor

    def by_gates(self, slots: Sequence[int], slope_BSD: Tensor) -> Tensor:
        """Gradients with respect to the gates under softmax competition, [B, n]; 0 where there is one expert only.

        A larger gate raises the weight of its own slot and lowers those of the others: both count.
        """
        if len(self.living) == 1:
            return slope_BSD.new_zeros(len(slope_BSD), len(slots))
        whole_BS = (slope_BSD * self.writes.total()).sum(-1)
        lost_BC = torch.einsum("bs,bsc->bc", whole_BS, self._probabilities())
        return self.writes[slots].along(slope_BSD) - lost_BC[:, slots]

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

    def _probabilities(self) -> Tensor:
        """Return the share of each slot in the denominator of a token's weights, [B, S, C]."""
        probabilities_Tn = torch.softmax(self.logits_Tn, 1) if self.k == 1 else shares(self.logits_Tn, self.k)
        B, C, S, _ = self.hidden_BCSH.shape
        return _at(self.living, probabilities_Tn, C).unflatten(0, (B, S))


def observe(
    task: Task,
    k: int,
    genes: Sequence[Mapping[str, float]],
    logits_BSC: Tensor,
    hidden_BCSH: Tensor,
    down_CHD: Tensor,
) -> ObservedExperts:
    """Measure what every expert adds to the stream, and for which tokens.

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
    genes
        Of every slot; empty where the slot is.
    logits_BSC
        Router logits of every slot for every token.
    hidden_BCSH
        Hidden activations of every slot for every token.
    down_CHD
        Output matrices of the experts.
    """
    B, C, S, _ = hidden_BCSH.shape
    living = [slot for slot, gene in enumerate(genes) if gene]
    logits_Tn = logits_BSC.flatten(0, 1)[:, living]
    shares_BSC = _at(living, shares(logits_Tn, k), C).unflatten(0, (B, S))
    writes = Writes(hidden_BCSH * shares_BSC.transpose(1, 2).unsqueeze(-1), down_CHD)
    with torch.no_grad():
        mass_BCS = writes.norms().double()  # for the difference from 1, of a token that has nearly all
        whole_BC = mass_BCS.sum(-1)
        mass_BCS = mass_BCS / whole_BC.clamp_min(1e-30).unsqueeze(-1)
        used_C = (whole_BC > 0).sum(0).clamp_min(1)
        distances = torch.tensor(task.distances, dtype=mass_BCS.dtype, device=mass_BCS.device)
        pairs_BC = (1 - mass_BCS.square().sum(-1)).clamp_min(1e-12)
        entropy_BC = -torch.xlogy(mass_BCS, mass_BCS).sum(-1)
        answers_BSC = _at(living, chosen(logits_Tn, k), C).unflatten(0, (B, S))
        sparsity = [
            quiet_share(hidden_BSH[answers_BS][:, : int(gene.get("hidden", 0))])
            for hidden_BSH, answers_BS, gene in zip(
                hidden_BCSH.unbind(1), answers_BSC.unbind(2), genes, strict=True
            )
        ]
        routed_BC = answers_BSC.sum(1)
    return ObservedExperts(
        writes=writes,
        span=(((mass_BCS @ distances) * mass_BCS).sum(-1) / pairs_BC).sum(0) / used_C,
        sparsity=torch.stack(sparsity),
        locality=entropy_BC.sum(0) / used_C / max(math.log(task.length), 1e-12),
        intensity=_intensities(task, down_CHD.shape[2], genes, routed_BC),
        routed_tokens=routed_BC,
        k=k,
        living=living,
        logits_Tn=logits_Tn,
        hidden_BCSH=hidden_BCSH,
    )


def _at(slots: Sequence[int], values_Tn: Tensor, capacity: int) -> Tensor:
    """Put the columns of the living slots among zeros, [T, C]."""
    placed_TC = values_Tn.new_zeros(len(values_Tn), capacity)
    placed_TC[:, slots] = values_Tn
    return placed_TC


def _intensities(task: Task, dim: int, genes: Sequence[Mapping[str, float]], routed_BC: Tensor) -> Tensor:
    costs = [
        cost(task, dim, gene, tokens, len(routed_BC)) if gene else (1.0, 1.0)
        for gene, tokens in zip(genes, routed_BC.sum(0).tolist(), strict=True)
    ]
    intensities = [math.log2(flops / bytes_moved) for flops, bytes_moved in costs]
    return torch.tensor(intensities, dtype=torch.float64, device=routed_BC.device)
