"""Tubes that a stream leaves behind: they hold what was stored, thin out, and thicken where something flows.

Shape suffixes: B sequences, M tubes, T tubes that are opened at once; what a tube holds has any shape.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from organisms.pseudopods.checks import not_negative, share, whole


@dataclass(frozen=True, slots=True, eq=False)
class Tubes:
    """The M tubes of each of B sequences; where the conductance is 0 there is none."""

    content: Tensor  # [B, M, *shape]
    conductance: Tensor  # [B, M], from 0 on
    flux: Tensor  # [B, M], what has flowed through each since tubes were last opened

    def detach(self) -> "Tubes":
        """Return the same tubes without what they were computed from."""
        return Tubes(self.content.detach(), self.conductance.detach(), self.flux.detach())


@dataclass(frozen=True, slots=True)
class TubeRules:
    """How tubes live (Tero, Kobayashi and Nakagaki 2007, J. Theor. Biol. 244, 553-564).

    A tube of conductance D and length L between places of pressures p and q carries the flux Q = D (p - q) / L, and
    adapts: dD/dt = |Q|^exponent - D. Here all tubes lead from the past to the present, side by side, so that they share
    one drop of pressure; one unit of flux is driven through them, and the better a tube fits what is asked, the shorter
    it is, L = exp(-fit). What flows, and a step of the equation by Euler's rule, then are

        Q_m = D_m exp(fit_m) / sum_n D_n exp(fit_n)
        D_m <- decay D_m + (1 - decay) Q_m^exponent

    Tubes thinner than `thinnest` close. Of more than `capacity` the thickest stay; of equally thick ones the newest.

    Differs from the source: pressures are not solved for, as tubes in parallel need none, and new tubes open.

    Parameters
    ----------
    decay
        Share of the conductance that stays where nothing flows, in [0, 1).
    capacity
        M, the tubes of a sequence at most.
    exponent
        Over 1 the rich get richer, under 1 they share.
    thinnest
        Conductance under which a tube closes.

    Raises
    ------
    ValueError
        If the decay is no share, the capacity no whole number from 1 on, or another number is negative.
    """

    decay: float
    capacity: int
    exponent: float = 1.0
    thinnest: float = 0.01

    def __post_init__(self) -> None:
        share("decay", self.decay)
        whole("capacity", self.capacity)
        not_negative("exponent", self.exponent)
        not_negative("thinnest", self.thinnest)

    def none(self, data: Tensor) -> Tubes:
        """Return no tubes, for sequences that will store what is shaped as `data` [B, *shape]."""
        empty = data.new_zeros(data.shape[0], self.capacity)
        return Tubes(data.new_zeros(data.shape[0], self.capacity, *data.shape[1:]), empty, empty)

    def adapted(self, tubes: Tubes) -> Float[Tensor, "B M"]:
        """Return the conductances a step later: thinner, thicker where something flowed, 0 where a tube closes."""
        flowed = tubes.flux if self.exponent == 1 else tubes.flux**self.exponent
        later = self.decay * tubes.conductance + (1 - self.decay) * flowed
        return later.masked_fill((later < self.thinnest) | (tubes.conductance <= 0), 0.0)

    def opened(self, tubes: Tubes, data: Tensor, weight: Tensor) -> tuple[Tubes, Int64[Tensor, "B M"]]:
        """Return the tubes a step later, with new ones; and where each comes from, of T new and M old ones.

        Parameters
        ----------
        tubes
            What there was.
        data
            What the new ones hold, [B, T, *shape], the newest first.
        weight
            Their conductance, [B, T], from 0 on; 0: it is not stored.
        """
        conductance = torch.cat([weight, self.adapted(tubes)], 1)
        thickest, origin = conductance.sort(dim=1, descending=True, stable=True)
        thickest, origin = thickest[:, : self.capacity], origin[:, : self.capacity]
        content = taken(torch.cat([data, tubes.content], 1), origin)
        return Tubes(content, thickest, torch.zeros_like(thickest)), origin


def flow(conductance: Float[Tensor, "*batch M"], fit: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch M"]:
    """Return the flux through each tube, of one unit in all; none where there are no tubes.

    Parameters
    ----------
    conductance
        D, from 0 on.
    fit
        Minus the logarithm of their lengths.
    """
    there = conductance > 0
    # Not of 0: the gradient of its logarithm is infinite, and times 0 not a number.
    logs = torch.where(there, conductance, 1.0).log() + fit
    shares = torch.softmax(logs.masked_fill(~there, torch.finfo(logs.dtype).min), -1)
    return shares.masked_fill(~there, 0.0)


def taken(data: Tensor, place: Int64[Tensor, "B M"]) -> Tensor:
    """Return what stands at the places of an axis, [B, M, *shape] of [B, N, *shape]."""
    wide = place.view(*place.shape, *[1] * (data.ndim - 2))
    return data.gather(1, wide.expand(-1, -1, *data.shape[2:]))
