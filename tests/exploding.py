"""A user's module whose organisms lose their finiteness on purpose; those of calibration never do."""

import math

import torch

from organisms.pool import Pool
from organisms.pseudopods.organism import PseudopodOrganism
from organisms.pseudopods.species import Pseudopods

STEPS = 3  # of a round, as in `tests.small_runs` and `tests.small_worlds`


def number(pool: Pool) -> int:
    return next(occupant.component.organism for _, occupant in pool.alive())


class Changed(Pseudopods):
    """A family whose outputs are changed while it trains, where `bad` says so.

    By itself: those of organism 1 once it has trained for a round since it was founded or re-seeded.
    """

    def bad(self, pool: Pool) -> bool:
        return number(pool) == 1 and bool(pool.counts.max() >= STEPS)

    def change(self, outputs: torch.Tensor, pool: Pool) -> torch.Tensor:
        return outputs * math.inf

    def organism(self, interface):
        family = self

        class Organism(PseudopodOrganism):
            def forward(self, inputs, gates=None):
                outputs = super().forward(inputs, gates)
                training = self.pool.stacks["ov.U"].requires_grad
                return family.change(outputs, self.pool) if training and family.bad(self.pool) else outputs

        return Organism(self.task, interface, super().organism(interface).pool)


class Hothead(Changed):
    """The loss of organism 1 explodes in the second round of its life."""


class Doomed(Changed):
    """All losses of the population explode from the first step on."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) >= 0


class Kinked(Changed):
    """Losses are finite, but the gradients of organism 1 at the last step of its second round are not."""

    def bad(self, pool: Pool) -> bool:
        return number(pool) == 1 and bool(pool.counts.max() == 2 * STEPS - 1)

    def change(self, outputs: torch.Tensor, pool: Pool) -> torch.Tensor:
        return outputs + (pool.stacks["ov.U"] * 0).sqrt().sum()


def strained(organism, inputs, targets):
    """A measure: the temperature of each component, and infinite for the last of an older organism 1."""
    pool = organism.pool
    values = [dict(occupant.genes)["temperature"] for _, occupant in pool.alive()]
    return [*values[:-1], math.inf] if number(pool) == 1 and pool.counts.max() > STEPS else values
