"""The records of a round: what each living head is worth, how it behaves and what it costs."""

import math
from collections.abc import Sequence

from organisms.pseudopods.evolution import genomes
from organisms.pseudopods.evolution.agreement import of_the_first_process
from organisms.pseudopods.evolution.constants import Sizes, cost
from organisms.pseudopods.evolution.observed import observed
from organisms.pseudopods.evolution.population import Population
from organisms.pseudopods.evolution.worth import worth
from organisms.pseudopods.heads import PseudopodAttention
from qd.records import Record


def measured(
    population: Population, moments: Sequence[Sequence[float]], round: int, sizes: Sizes, examples: int
) -> tuple[Record, ...]:
    """Return a record of each living head, by component; `Evolution` says what the fields mean here.

    Parameters
    ----------
    population
        Heads that have kept what they read in the last forward pass.
    moments
        Moving averages of each slot's worth, four numbers (`worth.averaged`).
    round
        That ends.
    sizes
        Of the encoder.
    examples
        How many sequences are looked at.
    """
    looks = [observed(heads, *heads.seen, examples) for heads in population.heads if heads.seen is not None]
    rows = [list(values) for look in looks for values in look]
    found = of_the_first_process(rows, population.heads[0].output.device)
    length = tokens(population.heads)
    records = []
    for slot, who in population.occupants.items():
        genes = genomes.genes(*population.place(slot))
        flops, traffic = cost(genes, length, sizes.width)
        use = worth(moments[slot])
        records.append(
            Record(
                component=who.component,
                parents=who.parents,
                lineage=who.lineage,
                depth=slot // population.slots,
                genes=genes,
                genome=f"{who.component}:{round}",
                age=round - max(who.component.born - 1, 0),
                measures=(*found[slot], math.log2(flops / traffic)),
                assay=use.mean,
                assay_lower=use.lower,
                ablation=use.mean,
                gradient=use.size,
                flops=flops,
                bytes=traffic,
            )
        )
    return tuple(sorted(records, key=lambda record: record.component))


def tokens(heads: Sequence[PseudopodAttention]) -> int:
    """Return the length of the sequences that heads have read in the last forward pass."""
    return max(each.seen[0].shape[1] for each in heads if each.seen is not None)
