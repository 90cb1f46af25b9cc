import importlib
import inspect

import pytest

from organisms.memory import Trace
from organisms.pseudopods.pseudopod import Pseudopod as PseudopodAtWork
from organisms.species import FAMILIES, Component, Memory, Organism, Pseudopod, Species
from qd.records import Genome
from runs.config import KINDS, OrganismConfig
from tests.small_worlds import small_interface, small_task


def members(protocol) -> set[str]:
    """What a class must have to keep a protocol."""
    own = {name for name in vars(protocol) if inspect.isfunction(vars(protocol)[name])}
    return {name for name in own if not name.startswith("_") or name == "__call__"} | set(
        protocol.__annotations__
    )


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def assert_keeps(value, protocol):
    assert {name for name in members(protocol) if not hasattr(value, name)} == set()


def family(kind):
    module, _, name = FAMILIES[kind].partition(":")
    return getattr(importlib.import_module(module), name)


def test_a_configuration_knows_the_families_of_the_table():
    assert tuple(FAMILIES) == KINDS


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_of_the_table_keeps_the_contract(kind):
    made = family(kind)(small_task(), OrganismConfig(dim=9))
    assert_keeps(made, Species)
    assert made.family == kind
    assert (made.depth, made.capacity) == (1, 12)
    assert set(made.ranks.values()) <= set(made.genes)
    assert_keeps(made.organism(small_interface(made.task)), Organism)
    for name in members(Species) - set(Species.__annotations__):
        assert parameters(getattr(made, name)) == parameters(getattr(Species, name))


def test_the_blueprints_other_protocols_are_kept_by_what_their_docstrings_name():
    assert_keeps(Trace(0.5), Memory)
    assert_keeps(Genome("x", 0, (), {}), Component)
    assert_keeps(PseudopodAtWork, Pseudopod)
