"""The table of emitters: how each makes a child of elites."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What is to be known of an emitter before it is asked for children."""

    parents: int  # elites of one layer that a child is made of, where the archive has so many
    trained: bool = False  # in the reference hosts, after variation
    adaptive: bool = (
        False  # an evolution strategy asks for points and is told what became of them (`campaigns`)
    )


KINDS: Mapping[str, Kind] = {
    "iso_line": Kind(parents=2),
    "gaussian": Kind(parents=1),
    "gene": Kind(parents=1),
    "gradient": Kind(parents=1, trained=True),
    "cma_mae": Kind(parents=5, adaptive=True),
}
DEFAULT = ("iso_line", "gaussian", "gene", "gradient")
OWN = Kind(parents=2)  # a user's, given by import path


def kind_of(emitter: str) -> Kind:
    """Return the kind of an emitter of the table, or given by import path."""
    return KINDS.get(emitter, OWN)
