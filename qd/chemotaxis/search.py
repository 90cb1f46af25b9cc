"""How an organism searches the archive for parents: by the rule, by sources, or anywhere."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from qd.chemotaxis import rule
from qd.chemotaxis.sources import Chemotaxis, exhausted
from qd.records import Candidate
from qd.view import View


@dataclass(frozen=True, slots=True)
class Scent:
    """A place near which a user wants births to search."""

    behavior: tuple[float, ...]  # in the unit cube
    concentration: float  # in units of the objective


@dataclass(frozen=True, slots=True)
class Search:
    """By what elites attract, and what sources among them depend on besides the archive."""

    kind: Literal["rule", "sources", "uniform"] = "rule"
    patience: int = 8  # tries after which half of an elite's concentration is left
    scents: tuple[Scent, ...] = ()
    largest_flops: float = math.inf  # of the costliest component that the genes allow


RULE = Search()


@dataclass(frozen=True, slots=True, eq=False)
class Seeker:
    """An organism that looks for the parents of a component."""

    depth: int  # the layer of that component
    hunger: float  # in [0, 1]
    own: Float64[np.ndarray, "m measures"] | None = None  # where its components of the layer are
    metabolic_rate: float = 0.0  # in [0, 1]


def chances(
    search: Search, tau: float, view: View, neighbours: Int64[np.ndarray, "cells k"], seeker: Seeker
) -> Float64[np.ndarray, " n"]:
    """Return the probability of each elite to be a parent, in the order of the cells; all 0 where none fits.

    Only elites of the layer fit. By ``rule`` their probability is that of `qd.chemotaxis.rule`, by ``sources`` that of
    `Chemotaxis`, and ``uniform`` has all alike.

    Parameters
    ----------
    search
        Which of them, and its constants.
    tau
        Temperature of the softmax, in units of the objective.
    view, neighbours
        As in `rule.attraction`.
    seeker
        Who searches, and for what layer.
    """
    if search.kind == "rule":
        return rule.probabilities(view, neighbours, seeker.hunger, tau, seeker.depth, seeker.own)
    fits = np.array([elite.depth == seeker.depth for elite in view.elites], dtype=bool)
    found = np.zeros(len(fits))
    if search.kind == "uniform":
        found[fits] = 1 / max(1, fits.sum())
    else:
        field = sources(search, tau, view, seeker.depth)
        found[fits] = field.probabilities(seeker.own, seeker.metabolic_rate, seeker.hunger)
    return found


def sources(search: Search, tau: float, view: View, depth: int) -> Chemotaxis[Candidate]:
    """Return the elites of a layer as sources, with the scents of the user among them.

    Parameters
    ----------
    search
        How fast places are exhausted, and what scents there are.
    tau
        Temperature of the softmax.
    view
        The archive at the end of a round.
    depth
        Of the layer.
    """
    field: Chemotaxis[Candidate] = Chemotaxis(tau)
    for elite, tries in zip(view.elites, view.tries or (0,) * len(view.elites), strict=True):
        if elite.depth == depth:
            left = exhausted(elite.objective, tries, search.patience)
            field.add_source(elite, elite.behaviour, left)
    for scent in search.scents:
        field.add_source(None, scent.behavior, scent.concentration)
    return field
