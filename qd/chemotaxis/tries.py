"""How often births have tried what an elite has to give, counted from the decisions of a run."""

from collections.abc import Iterable, Mapping

from qd.records import Decision
from qd.view import View


def tried(before: Mapping[str, int], decisions: Iterable[Decision]) -> dict[str, int]:
    """Return how many candidates of births that may happen were made of each genome, by its digest.

    Only the first parent counts, at whose place the birth searches. Births in the arms random and clone are made of no
    elite, and re-seeds fill an organism, so that neither exhausts a place. An elite that improves is another genome,
    of which nothing was made yet.

    Parameters
    ----------
    before
        The counts so far.
    decisions
        Since then.
    """
    counts = dict(before)
    for decision in decisions:
        for birth in decision.births:
            if not (birth.happens and birth.tried):
                continue
            for proposal in birth.proposals:
                for genome in proposal.genomes[:1]:
                    counts[genome] = counts.get(genome, 0) + 1
    return counts


def held(view: View) -> dict[str, int]:
    """Return the counts of the genomes that a view has, which are all that later views can ask for."""
    return {elite.genome: count for elite, count in zip(view.elites, view.tries, strict=True)}
