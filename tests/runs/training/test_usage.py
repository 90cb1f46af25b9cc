import numpy as np
import pytest

from archive_store.reading import open_run
from runs.config.reader import read_config
from runs.config.schema import plain
from runs.training.build import build
from runs.training.state import decode_state
from runs.training.usage import Usage, usage
from runs.training.world import WorldSpec
from tests.fixtures.small_worlds import examples_of, small_organism, small_species, small_task
from tests.organisms.experts.labelled import LABELS, counted, labelled, routed


def test_usage_is_the_count_over_the_tokens_of_each_kind_that_there_is():
    slots = (0, 2, 3, 5)
    family, organism = routed(labelled(), slots)
    found = usage(family.task, family.probe(organism, *examples_of(family.task)))
    by_example = counted(organism, slots)
    S = family.task.length
    for one, counts in zip(found, by_example, strict=True):
        sines = [count for count, label in zip(counts, LABELS, strict=True) if label == 0]
        circles = [count for count, label in zip(counts, LABELS, strict=True) if label == 2]
        assert one.load == sum(counts) / (11 * S)
        assert one.by_kind == (("sine", sum(sines) / (6 * S)), ("circle", sum(circles) / (5 * S)))
    # Each token of the first layer goes to two of three experts, of the second to the only one.
    for kind in range(2):
        first, second = (sum(one.by_kind[kind][1] for one in part) for part in (found[:3], found[3:]))
        assert (first, second) == (pytest.approx(2), 1)


def test_what_a_census_counted_is_read_from_the_journal(signals):
    run = open_run(signals)
    with run.directory.journal() as journal:
        states = {state.organism: state for state in journal.states() if state.round == 4}
        event = next(iter(journal.events(0, "calibration"))).value
    config = read_config(run.directory.config_path)
    world = build(WorldSpec(plain(config), interface=run.directory.blobs.get(event["interface"])))
    records = run.records()
    for organism, state in states.items():
        individual = decode_state(world, run.directory.blobs.get(state.digest))
        probe = world.species.probe(individual.organism, world.probe.inputs, world.probe.targets)
        last = records[(records["organism"] == organism) & (records["round"] == 4)].sort_values("slot")
        found = [(one.load, *(share for _, share in one.by_kind)) for one in usage(world.task, probe)]
        assert last["slot"].tolist() == list(probe.slots)
        assert list(last[["load", "usage_sine", "usage_spiral"]].itertuples(index=False, name=None)) == found
        np.testing.assert_allclose(last[["load", "usage_sine", "usage_spiral"]].sum(), 2)


def test_without_labels_there_is_the_load_alone():
    family, organism = routed(small_task("class"), (0, 1, 2))
    found = usage(family.task, family.probe(organism, *examples_of(family.task)))
    assert sum(one.load or 0 for one in found) == pytest.approx(2)
    assert all(one.by_kind == () for one in found)


def test_components_that_answer_every_token_have_no_usage():
    family = small_species(labelled())
    organism = small_organism(family, (0, 2, 3))
    probe = family.probe(organism, *examples_of(family.task))
    assert probe.routed_tokens is None
    assert usage(family.task, probe) == [Usage(None, ())] * 3
