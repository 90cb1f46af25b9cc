"""What a flow pattern does as a guest among a host's own.

Shape suffixes: B examples, S tokens, T = B S, n patterns, C channels, R reduced width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from organisms.flow.species.cost import cost
from organisms.flow.species.patterns import Flows
from organisms.residual import mass
from organisms.residual.candidates import Candidates, Guests, Joined
from organisms.residual.organism import quiet_share
from organisms.task import Task


@dataclass(frozen=True, eq=False)
class Patterns(Candidates):
    """Logits and outputs of n patterns for every token, and the flows by which they come about."""

    flows: Flows

    @cached_property
    def rows_BnSS(self) -> Tensor:
        """From where each token receives, the flows of a pattern's channels as shares of their sum, float64."""
        weights_BnCS = self.flows.intensity_BnCS.double()
        weights_BnCS = weights_BnCS / weights_BnCS.sum(2, keepdim=True)
        return (self.flows.rows_BnCSS * weights_BnCS.unsqueeze(-1)).sum(2)

    def pattern(self, place: int, weight_T: Tensor) -> Tensor:
        """Return the mean over examples of a pattern's rows, each times its token's weight, flat [S S]."""
        rows_BSS = self.rows_BnSS[:, place]
        return (rows_BSS * weight_T.double().view(*rows_BSS.shape[:2], 1)).mean(0).flatten()


def describe(
    task: Task, dim: int, residents: Patterns, guests: Guests[Patterns], names: Sequence[str]
) -> Mapping[str, Tensor]:
    """Measure each of n patterns when it alone joins those of a host, float64 [n] by name.

    With p the row of a token that mixes the pattern, its flows of all channels as shares of their sum, and w the
    pattern's weight in the token's mixture, these are means over tokens, weighted by w: of ``sum_s p_s d(t, s)`` the
    span, of ``sqrt(sum_s p_s |x_s - sum p x|^2)`` the locality, both as shares of the largest distance; of
    ``-sum_s p_s log p_s / log S`` the entropy, in [0, 1]. The sharpness is the mean of w over the tokens that mix it.
    The sparsity is that of the R numbers that these tokens are given, the intensity counted FLOPs per byte, log2. The
    coherence is the mean, over the host's patterns of the layer, of the cosine of the two flows, each the mean over
    examples of w p, in [0, 1]. All are 0 where no token mixes the pattern, and the coherence without any other.

    Parameters
    ----------
    task
        Distances between its tokens are those of span and locality.
    dim
        Width of the residual stream.
    residents
        The host's own patterns of the layer.
    guests
        The n patterns, joined to them.
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
    """The measures of each of some patterns in a host, each a number."""

    task: Task
    dim: int
    residents: Patterns
    guests: Patterns

    def measure(self, name: str, place: int, joined: Joined) -> float:
        gene, answers_T = self.guests.genes[place], joined.answers_T
        match name:
            case "attention_span":
                distances_SS = self._of_task(self.task.distances)
                return (
                    self._mean((self.guests.rows_BnSS[:, place] * distances_SS).sum(-1), joined)
                    / self._furthest
                )
            case "access_locality":
                return self._mean(self._spread(self.guests.rows_BnSS[:, place]), joined) / self._furthest
            case "attention_entropy":
                entropy_BS = torch.special.entr(self.guests.rows_BnSS[:, place]).sum(-1)
                return self._mean(entropy_BS, joined) / max(math.log(self.task.length), 1e-12)
            case "attention_sharpness":
                return mass.mean(joined.weight_T[answers_T].double())
            case "activation_sparsity":
                given_TR = self.guests.said.values[:, place].flatten(0, 1)[answers_T]
                return float(quiet_share(given_TR[:, : int(gene["rank"])]))
            case "compute_intensity":
                examples = len(self.guests.flows.rows_BnCSS)
                flops, bytes_moved = cost(self.task, self.dim, gene, int(answers_T.sum()), examples)
                return math.log2(flops / bytes_moved)
        own = self.guests.pattern(place, joined.weight_T)
        others = [
            self.residents.pattern(n, weight_T) for n, weight_T in enumerate(joined.others_Tn.unbind(1))
        ]
        return mass.coherence(own, torch.stack(others)) if others else 0.0

    @property
    def _furthest(self) -> float:
        return max(float(self.task.distances.max()), 1e-12)

    def _spread(self, rows_BSS: Tensor) -> Tensor:
        """Return the standard deviation of where each token receives from, [B, S]."""
        places_Sd = self._of_task(self.task.positions)
        middle_BSd = rows_BSS @ places_Sd
        second_BS = rows_BSS @ places_Sd.square().sum(-1)
        return (second_BS - middle_BSd.square().sum(-1)).clamp_min(0.0).sqrt()

    def _mean(self, values_BS: Tensor, joined: Joined) -> float:
        weight_T = joined.weight_T.double()
        return float((values_BS.flatten() * weight_T).sum() / weight_T.sum().clamp_min(1e-300))

    def _of_task(self, array: object) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float64, device=self.guests.logits_Tn.device)
