"""Quarantine: how an organism recovers from numbers that are not finite.

A round in quarantine counts for nothing: the organism goes back to what it was before, trains on at half its
learning rate, and its lifecycle stands still for a round. After three such rounds in a row a new organism
takes its place, born from its view of the archive as far as the run's arm allows.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from qd.chemotaxis.apart import apart
from qd.chemotaxis.search import Seeker, chances
from qd.lifecycle.rules import Rules
from qd.records import Birth, Candidate, Census
from qd.seeding import generator, uniform
from qd.view import View

RESEED_AFTER = 3  # rounds in quarantine, one right after the other
_FROM_PARENTS = {"archive": "gaussian", "genes": "genes"}  # arms that may read the archive, and the operator


def in_a_row(censuses: Sequence[Census]) -> int:
    """Count an organism's latest rounds in quarantine: 0 after a finite one, anew after each re-seed.

    Parameters
    ----------
    censuses
        All of the organism's own, oldest first.
    """
    finite = (back for back, census in enumerate(reversed(censuses)) if census.quarantine is None)
    streak = next(finite, len(censuses))
    return (streak - 1) % RESEED_AFTER + 1 if streak else 0


def reseed(
    rules: Rules,
    round: int,
    organism: int,
    temperature: float,
    hunger: float,
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
) -> tuple[Birth, ...]:
    """Fill the `initial` first slots of every layer, each by a birth that is certain.

    Parents are drawn by chemotaxis among the elites of the slot's layer, each from the stream
    ``reseed:<organism>:<slot>``. All arms draw the same ones; the arm ``archive`` takes over their weights,
    ``genes`` their genes, and the others, as well as slots without a parent, begin from random components.

    Parameters
    ----------
    rules, round, view, neighbours
        As `qd.lifecycle.decide.decide` takes them.
    organism
        Number of the organism.
    temperature, hunger
        As the decision for that round says.
    """
    births = []
    for depth in range(rules.depth):
        for slot in range(depth * rules.capacity, depth * rules.capacity + rules.initial):
            context = f"reseed:{organism}:{slot}"
            stream = generator(rules.seed, round, context)
            likely = chances(rules.search, rules.tau, view, neighbours, Seeker(depth, hunger))
            parents = apart(view, neighbours, likely, stream, 1)
            parent = parents[0] if parents else None
            births.append(_birth(rules, round, slot, context, temperature, view, parent))
    return tuple(births)


def _birth(
    rules: Rules,
    round: int,
    slot: int,
    context: str,
    temperature: float,
    view: View,
    parent: Candidate | None,
) -> Birth:
    operator = "random" if parent is None else _FROM_PARENTS.get(rules.arm, "random")
    source = None if operator == "random" else parent
    return Birth(
        slot=slot,
        arm=rules.arm,
        operator=operator,
        parents=() if source is None else (source.component,),
        genomes=() if source is None else (source.genome,),
        lineage=None if source is None or operator == "genes" else source.lineage,
        objective=None if parent is None else parent.objective,
        threshold=view.median_objective,
        sigma=rules.sigma * temperature / rules.start_temperature,
        probability=1.0,
        draw=uniform(rules.seed, round, context),
        context=context,
        happens=True,
    )
