"""Components that compete for tokens: what they would add to any, and what each adds where it is chosen.

Shape suffixes: B examples, S tokens, T = B S, C slots of a layer, n components, W inner size of what they write, D
residual width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from organisms.residual import mass
from organisms.residual.organism import Observed
from organisms.residual.shares import best, chosen, every_output, redirected, shares, weights
from organisms.residual.writes import Writes


@dataclass(frozen=True, eq=False)
class Candidates:
    """Logits and outputs of n components for T tokens, chosen or not."""

    logits_Tn: Tensor
    said: Writes  # outputs without any weight
    genes: Sequence[Mapping[str, float]]

    @cached_property
    def outputs_nTD(self) -> Tensor:
        """What each would add to every token, were its weight 1."""
        return every_output(self.said.values, self.said.write)

    @cached_property
    def norms_nT(self) -> Tensor:
        """The norm of every output."""
        return torch.linalg.vector_norm(self.outputs_nTD, dim=-1)

    def weighted(self, weights_Tn: Tensor) -> Writes:
        """Return what each adds to the stream with these weights."""
        B, _, S, _ = self.said.values.shape
        weights_BnS1 = weights_Tn.unflatten(0, (B, S)).transpose(1, 2).unsqueeze(-1)
        return Writes(self.said.values * weights_BnS1, self.said.write)


Kind = TypeVar("Kind", bound=Candidates)


@dataclass(frozen=True, eq=False, kw_only=True)
class ObservedCandidates(Observed):
    """What the components of a layer add to the stream, and what they would add without one of them."""

    k: int
    living: Sequence[int]
    candidates: Candidates  # the living ones

    def without(self, slots: Sequence[int]) -> Iterator[Tensor]:
        """Return the change when each of n slots alone is gated off: tokens go to their next largest logits."""
        logits_Tn, (B, _, S, _) = self.candidates.logits_Tn, self.writes.values.shape
        before_Tn = shares(logits_Tn, self.k)
        for slot in slots:
            others = [n for n, other in enumerate(self.living) if other != slot]
            after_Tn = torch.zeros_like(before_Tn)
            after_Tn[:, others] = shares(logits_Tn[:, others], self.k)
            yield redirected(before_Tn, after_Tn, self.candidates.outputs_nTD).unflatten(0, (B, S))


def observe(k: int, living: Sequence[int], capacity: int, candidates: Candidates) -> ObservedCandidates:
    """Observe what every slot of a layer adds to the stream, and how many tokens choose it.

    Parameters
    ----------
    k
        Components that each token chooses.
    living
        Slots with components.
    capacity
        Slots of the layer, C.
    candidates
        The components in the living slots, in order.
    """
    B, _, S, W = candidates.said.values.shape
    own = candidates.weighted(shares(candidates.logits_Tn, k))
    values_BCSW = own.values.new_zeros(B, capacity, S, W)
    values_BCSW[:, living] = own.values
    write_CWD = own.write.new_zeros(capacity, *own.write.shape[1:])
    write_CWD[living] = own.write
    counts_Bn = chosen(candidates.logits_Tn, k).unflatten(0, (B, S)).sum(1)
    counts_BC = counts_Bn.new_zeros(B, capacity)
    counts_BC[:, living] = counts_Bn
    return ObservedCandidates(
        Writes(values_BCSW, write_CWD), counts_BC, k=k, living=living, candidates=candidates
    )


@dataclass(frozen=True, eq=False)
class Joined:
    """A component among a host's own: how tokens choose when it alone joins them."""

    logits_Tn: Tensor  # of all, its own last
    others_Tn: Tensor  # weights of the host's own
    weight_T: Tensor  # its own
    answers_T: Tensor  # whether a token chooses it

    @classmethod
    def of(cls, k: int, residents: Candidates, logits_T: Tensor) -> "Joined":
        """Let every token choose anew.

        Parameters
        ----------
        k
            Components that each token chooses.
        residents
            The host's own components of the layer.
        logits_T
            Of the one that joins them.
        """
        logits_Tn = torch.cat([residents.logits_Tn, logits_T.unsqueeze(1)], 1)
        chosen_Tk = best(logits_Tn, k)
        weights_Tn = weights(logits_Tn, chosen_Tk)
        answers_T = (chosen_Tk == logits_Tn.shape[1] - 1).any(1)
        return cls(logits_Tn, weights_Tn[:, :-1], weights_Tn[:, -1], answers_T)

    def mass(self, norms_T: Tensor, examples: int) -> Tensor:
        """Return the norm of what it adds to every token, float64 [B, S], from the norms of its outputs."""
        # In float64 for the difference from 1, of a token that has nearly all.
        return (self.weight_T * norms_T).double().unflatten(0, (examples, -1))

    def coherence(self, norms_T: Tensor, residents: Candidates) -> float:
        """Return the mean cosine of how much it and each of the host's own add to every token."""
        others_nT = self.others_Tn.T.double() * residents.norms_nT.double()
        return mass.coherence((self.weight_T * norms_T).double(), others_nT)


@dataclass(frozen=True, eq=False)
class Guests(Generic[Kind]):
    """Components that join a host's own, each by itself."""

    candidates: Kind
    joined: Sequence[Joined]  # one for each

    @classmethod
    def among(cls, k: int, residents: Candidates, candidates: Kind) -> "Guests[Kind]":
        """Let every token choose anew, with one candidate after the other.

        Parameters
        ----------
        k
            Components that each token chooses.
        residents
            The host's own components of the layer.
        candidates
            Those that join.
        """
        joined = [Joined.of(k, residents, logits_T) for logits_T in candidates.logits_Tn.unbind(1)]
        return cls(candidates, joined)

    def written(self) -> Writes:
        """Return what each alone adds to the stream: its output for the tokens that choose it, weighted."""
        own = [joined.weight_T for joined in self.joined]
        return self.candidates.weighted(torch.stack(own, 1) if own else self.candidates.logits_Tn)


def grafted(k: int, residents: Candidates, guests: Guests[Any]) -> Iterator[Tensor]:
    """Yield what changes when each guest alone joins the components of a layer, [T, D].

    Tokens choose anew and the weights of each token's k best are recomputed. A guest that no token chooses changes
    exactly nothing.

    Parameters
    ----------
    k
        Components that each token chooses.
    residents
        The host's own components of the layer.
    guests
        Those that join, each by itself.
    """
    before_Tn = shares(residents.logits_Tn, k)
    for joined, outputs_TD in zip(guests.joined, guests.candidates.outputs_nTD, strict=True):
        change_TD = redirected(before_Tn, joined.others_Tn, residents.outputs_nTD)
        yield change_TD + joined.weight_T.unsqueeze(1) * outputs_TD
