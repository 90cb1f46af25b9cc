"""What the experts of a layer add to the stream at home, and what an expert does as a guest among a host's own.

Shape suffixes: B examples, S tokens, T = B S, C slots, n experts, D residual width, H hidden width.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from organisms.experts.species.cost import cost
from organisms.experts.species.shares import chosen, every_output, redirected, shares
from organisms.residual import mass
from organisms.residual.organism import Observed, quiet_share
from organisms.residual.writes import Writes
from organisms.task import Task


@dataclass(frozen=True, eq=False)
class Candidates:
    """Logits, hidden activations and outputs of n experts for T tokens, routed to them or not."""

    logits_Tn: Tensor
    hidden_BnSH: Tensor
    down_nHD: Tensor
    outputs_nTD: Tensor
    genes: Sequence[Mapping[str, float]]

    @cached_property
    def norms_nT(self) -> Tensor:
        """The norm of every output."""
        return torch.linalg.vector_norm(self.outputs_nTD, dim=-1)


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


@dataclass(frozen=True, eq=False)
class Joined:
    """An expert among a host's own: how tokens are routed when its column alone joins the router."""

    logits_Tn: Tensor  # of all, its own last
    others_Tn: Tensor  # weights of the host's own
    weight_T: Tensor  # its own
    answers_T: Tensor  # whether a token is routed to it

    @classmethod
    def among(cls, residents: Candidates, logits_T: Tensor, k: int) -> "Joined":
        """Route every token anew.

        Parameters
        ----------
        residents
            The host's own experts of the layer.
        logits_T
            Those of the expert that joins.
        k
            Experts that each token is routed to.
        """
        joined_Tn = torch.cat([residents.logits_Tn, logits_T.unsqueeze(1)], 1)
        weights_Tn = shares(joined_Tn, k)
        return cls(joined_Tn, weights_Tn[:, :-1], weights_Tn[:, -1], chosen(joined_Tn, k)[:, -1])


def written(k: int, residents: Candidates, guests: Candidates) -> Writes:
    """Return what each of n experts alone adds to the stream: its output for the tokens that come to it, weighted.

    Parameters
    ----------
    k
        Experts that each token is routed to.
    residents
        The host's own experts of the layer.
    guests
        The n experts.
    """
    B, _, S, _ = guests.hidden_BnSH.shape
    weights = [Joined.among(residents, logits_T, k).weight_T for logits_T in guests.logits_Tn.unbind(1)]
    weight_Tn = torch.stack(weights, 1) if weights else guests.logits_Tn
    weight_BnS1 = weight_Tn.unflatten(0, (B, S)).transpose(1, 2).unsqueeze(-1)
    return Writes(guests.hidden_BnSH * weight_BnS1, guests.down_nHD)


def describe(
    task: Task, k: int, dim: int, residents: Candidates, guests: Candidates, names: Sequence[str]
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
    k
        Experts that each token is routed to.
    dim
        Width of the residual stream.
    residents
        The host's own experts of the layer.
    guests
        The n experts.
    names
        The measures that are wanted.
    """
    one = _Measured(task, k, dim, residents)
    rows = [
        [one.measure(name, guests, place, joined) for name in names]
        for place, joined in enumerate(
            Joined.among(residents, logits_T, k) for logits_T in guests.logits_Tn.unbind(1)
        )
    ]
    columns = torch.tensor(rows, dtype=torch.float64, device=guests.logits_Tn.device).reshape(-1, len(names))
    return dict(zip(names, columns.unbind(1), strict=True))


@dataclass(frozen=True, eq=False)
class _Measured:
    """The measures of a single expert in a host, each a number."""

    task: Task
    k: int
    dim: int
    residents: Candidates

    def measure(self, name: str, guests: Candidates, place: int, joined: Joined) -> float:
        B, _, S, _ = guests.hidden_BnSH.shape
        gene, answers_T = guests.genes[place], joined.answers_T
        match name:
            case "attention_span":
                return mass.span(self._mass(guests, place, joined), self.task)
            case "access_locality":
                return mass.spread(self._mass(guests, place, joined), self.task)
            case "activation_sparsity":
                answers_BS = answers_T.unflatten(0, (B, S))
                return float(quiet_share(guests.hidden_BnSH[:, place][answers_BS][:, : int(gene["hidden"])]))
            case "compute_intensity":
                flops, bytes_moved = cost(self.task, self.dim, gene, int(answers_T.sum()), B)
                return math.log2(flops / bytes_moved)
            case "attention_entropy":
                p_Tn = torch.softmax(joined.logits_Tn[answers_T].double(), 1)
                entropy_T = -torch.xlogy(p_Tn, p_Tn).sum(1)
                return mass.mean(entropy_T) / max(math.log(p_Tn.shape[1]), 1e-12)
            case "attention_sharpness":
                return mass.mean(joined.weight_T[answers_T].double())
        return self._coherence(guests, place, joined)

    def _mass(self, guests: Candidates, place: int, joined: Joined) -> Tensor:
        """Return the norm of what the expert adds to every token, float64 [B, S]."""
        # In float64 for the difference from 1, of a token that has nearly all.
        B, _, S, _ = guests.hidden_BnSH.shape
        return (joined.weight_T * guests.norms_nT[place]).double().unflatten(0, (B, S))

    def _coherence(self, guests: Candidates, place: int, joined: Joined) -> float:
        own_T = self._mass(guests, place, joined).flatten()
        others_nT = joined.others_Tn.T.double() * self.residents.norms_nT.double()
        return mass.coherence(own_T, others_nT)


def _at(slots: Sequence[int], values_Tn: Tensor, capacity: int) -> Tensor:
    """Put the columns of the living slots among zeros, [T, C]."""
    placed_TC = values_Tn.new_zeros(len(values_Tn), capacity)
    placed_TC[:, slots] = values_Tn
    return placed_TC
