"""What emitters are asked for before a round: a pure function of a view of the archive and of past success."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qd.emitters.campaigns import Ongoing
from qd.emitters.kinds import kind_of
from qd.emitters.records import Campaign, Emission, Parent
from qd.emitters.shares import Success, shares
from qd.records import Candidate, ComponentId
from qd.seeding import generator
from qd.view import View


@dataclass(frozen=True, slots=True)
class Plan:
    """The constants of the emitters of a run."""

    seed: int
    emitters: tuple[str, ...]
    children: int  # a round; 0 for none
    chunk: int  # children of one emission, which one worker scores
    exploration: float | None  # of the bandit; None: all emitters take turns


def emissions(
    plan: Plan, round: int, view: View, past: Sequence[Success], ongoing: Mapping[int, Ongoing]
) -> tuple[Emission, ...]:
    """Return the emissions of a round: parents are drawn uniformly from the elites of the view.

    An adaptive emitter goes on with a strategy that is under way, whose parents stay, or begins one.

    Parameters
    ----------
    plan
        The constants of the run.
    round
        In which the children compete.
    view
        The archive at the end of round ``round - 1 - lag``; without elites there are no emissions.
    past
        Success of the chunks up to that round, oldest first.
    ongoing
        Strategies to go on with, by their places among the adaptive chunks of the round.
    """
    if not view.elites or not plan.emitters:
        return ()
    full, rest = divmod(plan.children, plan.chunk)
    sizes = [plan.chunk] * full + [rest] * (rest > 0)
    asked: list[Emission] = []
    adaptive = 0
    for number, (emitter, size) in enumerate(zip(_asked(plan, round, past, len(sizes)), sizes, strict=True)):
        if kind_of(emitter).adaptive:
            asked.append(_generation(plan, round, number, emitter, size, view, ongoing.get(adaptive)))
            adaptive += 1
        else:
            asked.append(_emission(plan, round, number, emitter, size, view))
    return tuple(asked)


def _asked(plan: Plan, round: int, past: Sequence[Success], chunks: int) -> tuple[str, ...]:
    if plan.exploration is None:
        first = round * chunks
        return tuple(plan.emitters[(first + place) % len(plan.emitters)] for place in range(chunks))
    return shares(plan.emitters, past, chunks, plan.exploration)


def _emission(plan: Plan, round: int, chunk: int, emitter: str, size: int, view: View) -> Emission:
    stream = generator(plan.seed, round, f"emit:{chunk}")
    drawn = [_parents(view.elites, kind_of(emitter).parents, stream) for _ in range(size)]
    places: dict[str, int] = {}
    parents: list[Parent] = []
    for elite in (elite for elites in drawn for elite in elites):
        if elite.genome not in places:
            places[elite.genome] = len(parents)
            parents.append(_parent(elite))
    children = tuple(tuple(places[elite.genome] for elite in elites) for elites in drawn)
    return Emission(round, chunk, emitter, tuple(parents), children)


def _generation(
    plan: Plan, round: int, chunk: int, emitter: str, size: int, view: View, ongoing: Ongoing | None
) -> Emission:
    if ongoing is None:
        stream = generator(plan.seed, round, f"emit:{chunk}")
        elites = _parents(view.elites, kind_of(emitter).parents, stream)
        ongoing = Ongoing(tuple(_parent(elite) for elite in elites), Campaign(round, chunk))
    everyone = tuple(range(len(ongoing.parents)))
    return Emission(round, chunk, emitter, ongoing.parents, (everyone,) * size, ongoing.campaign)


def _parent(elite: Candidate) -> Parent:
    return Parent(elite.component, elite.lineage, elite.genome, elite.depth)


def _parents(elites: Sequence[Candidate], number: int, stream: np.random.Generator) -> list[Candidate]:
    """Draw an elite, and further ones of its layer, different where there are so many."""
    first = elites[int(stream.integers(len(elites)))]
    others = [elite for elite in elites if elite.depth == first.depth and elite.genome != first.genome]
    more = min(number - 1, len(others))
    return [first, *(others.pop(int(stream.integers(len(others)))) for _ in range(more))]


def child_id(organisms: int, emission: Emission, place: int) -> ComponentId:
    """Return the id of a child: numbers of organisms from that of the population on are the chunks of emitters.

    Parameters
    ----------
    organisms
        Of the population.
    emission
        That asked for it.
    place
        Of the child in its chunk.
    """
    return ComponentId(organisms + emission.chunk, emission.round, place)
