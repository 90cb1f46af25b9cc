"""What an expert does as a guest among a host's own.

Shape suffixes: B examples, S tokens, T = B S, n experts, H hidden width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.species.cost import cost
from organisms.residual import mass
from organisms.residual.candidates import Candidates, Guests, Joined
from organisms.residual.organism import quiet_share
from organisms.task import Task


def describe(
    task: Task, dim: int, residents: Candidates, guests: Guests[Candidates], names: Sequence[str]
) -> Mapping[str, Tensor]:
    """Measure each of n experts when its column alone joins the router of a host, float64 [n] by name.

    A token's mass m is the norm of what the expert adds to it, as a share of the example's. The span is the mean
    distance of two different tokens, ``sum_s sum_t m_s m_t d(s, t) / (1 - sum_s m_s^2)``, the locality the
    entropy of m over its largest value; both are means over the examples that have tokens routed to the expert, and 0
    where none has. The sparsity is that of its hidden units for the tokens routed to it, and the intensity that of all
    these tokens together, for which its matrices are read once.

    Of the tokens routed to it, the entropy is the mean of ``-sum_e p_e log p_e / log n``, with p the router's softmax
    over all n experts of the layer, and the sharpness the mean of its weight, both in [0, 1]; 0 where no token is. The
    coherence is the mean, over the host's experts of the layer, of the cosine of the norms that the two add to all
    tokens, in [0, 1]; 0 without any.

    Differs from the mean over all pairs of tokens, and from counts by example: those are almost functions of the number
    of tokens routed to an expert, and four measures would be one.

    Parameters
    ----------
    task
        Distances between its tokens are those of the span.
    dim
        Width of the residual stream.
    residents
        The host's own experts of the layer.
    guests
        The n experts, joined to them.
    names
        The measures that are wanted.
    """
    one = _Measured(task, dim, residents, guests.candidates)
    rows = [
        [one.measure(name, place, joined) for name in names] for place, joined in enumerate(guests.joined)
    ]
    columns = torch.tensor(rows, dtype=torch.float64, device=residents.logits_Tn.device).reshape(
        -1, len(names)
    )
    return dict(zip(names, columns.unbind(1), strict=True))


@dataclass(frozen=True, eq=False)
class _Measured:
    """The measures of each of some experts in a host, each a number."""

    task: Task
    dim: int
    residents: Candidates
    guests: Candidates

    def measure(self, name: str, place: int, joined: Joined) -> float:
        hidden_BSH, gene = self.guests.said.values[:, place], self.guests.genes[place]
        norms_T, answers_T = self.guests.norms_nT[place], joined.answers_T
        B, S, _ = hidden_BSH.shape
        match name:
            case "attention_span":
                return mass.span(joined.mass(norms_T, B), self.task)
            case "access_locality":
                return mass.spread(joined.mass(norms_T, B), self.task)
            case "activation_sparsity":
                answers_BS = answers_T.unflatten(0, (B, S))
                return float(quiet_share(hidden_BSH[answers_BS][:, : int(gene["hidden"])]))
            case "compute_intensity":
                flops, bytes_moved = cost(self.task, self.dim, gene, int(answers_T.sum()), B)
                return math.log2(flops / bytes_moved)
            case "attention_entropy":
                p_Tn = torch.softmax(joined.logits_Tn[answers_T].double(), 1)
                entropy_T = -torch.xlogy(p_Tn, p_Tn).sum(1)
                return mass.mean(entropy_T) / max(math.log(p_Tn.shape[1]), 1e-12)
            case "attention_sharpness":
                return mass.mean(joined.weight_T[answers_T].double())
        return joined.coherence(norms_T, self.residents)
