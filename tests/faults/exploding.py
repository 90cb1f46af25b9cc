"""A user's module whose organisms lose their finiteness on purpose; those of calibration never do."""

import math

import torch

from organisms.experts.species.family import Experts
from organisms.flow.species.family import Flow
from organisms.pool import Pool
from organisms.pseudopods.species.family import Pseudopods
from organisms.towers.species.family import Towers
from organisms.transformer.species.family import Transformer

STEPS = 3  # of a round, as in `tests.fixtures.small_runs` and `tests.fixtures.small_worlds`


def number(pool: Pool) -> int:
    return next(occupant.component.organism for _, occupant in pool.alive())


class Changed:
    """Put before a family: what its organisms train for is changed where `bad` says so.

    By itself: that of organism 1 once it has trained for a round since it was founded or re-seeded.
    """

    def bad(self, pool: Pool) -> bool:
        return number(pool) == 1 and bool(pool.counts.max() >= STEPS)

    def change(self, losses: torch.Tensor, pool: Pool) -> torch.Tensor:
        return losses * math.nan

    def organism(self, interface):
        made = super().organism(interface)
        sound = made.training_losses

        def training_losses(inputs, targets, gates=None):
            losses = sound(inputs, targets, gates)
            return self.change(losses, made.pool) if self.bad(made.pool) else losses

        made.training_losses = training_losses
        return made


class Hothead(Changed, Pseudopods):
    """The loss of organism 1 explodes in the second round of its life."""


class HotheadedExperts(Changed, Experts):
    """The same of experts."""


class HotheadedTowers(Changed, Towers):
    """The same of towers."""


class HotheadedFlow(Changed, Flow):
    """The same of flow patterns."""


class HotheadedTransformer(Changed, Transformer):
    """The same of shards of transformers."""


class Doomed(Changed, Pseudopods):
    """All losses of the population explode from the first step on."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) >= 0


class Kinked(Changed, Pseudopods):
    """Losses are finite, but the gradients of organism 1 at the last step of its second round are not."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) == 1 and bool(pool.counts.max() == 2 * STEPS - 1)

    def change(self, losses: torch.Tensor, pool: Pool) -> torch.Tensor:
        return losses + (pool.stacks["ov.U"] * 0).sqrt().sum()


HOT = 1.0  # temperature


def strained(organism, inputs, targets):
    """A measure: the temperature of each component, and infinity for a hot one."""
    temperatures = [dict(occupant.genes)["temperature"] for _, occupant in organism.pool.alive()]
    return [math.inf if each > HOT else each for each in temperatures]
