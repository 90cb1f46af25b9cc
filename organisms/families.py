"""The table of families: a new one is a folder and a line here. A user's own joins by import path alone."""

from collections.abc import Mapping
from typing import NamedTuple


class Family(NamedTuple):
    """Import paths, so that a run loads no family but its own, and a configuration is read without torch."""

    species: str  # a class that keeps the contract `organisms.species.Species`
    options: str  # its `organisms.options.FamilyOptions`


FAMILIES: Mapping[str, Family] = {
    "pseudopods": Family(
        "organisms.pseudopods.species:Pseudopods", "organisms.pseudopods.species:PseudopodOptions"
    ),
    "experts": Family("organisms.experts.species:Experts", "organisms.experts.species:ExpertOptions"),
    "towers": Family("organisms.towers.species:Towers", "organisms.towers.species:TowerOptions"),
    "flow": Family("organisms.flow.species:Flow", "organisms.flow.species:FlowOptions"),
    "transformer": Family(
        "organisms.transformer.species:Transformer", "organisms.transformer.species:TransformerOptions"
    ),
}
