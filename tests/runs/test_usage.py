import pytest

from runs.usage import Usage, usage
from tests.organisms.experts.small_experts import LABELS, counted, experts, labelled
from tests.small_worlds import examples_of, small_organism, small_species, small_task


def test_usage_is_the_count_over_the_tokens_of_each_kind_that_there_is() -> None:
    slots = (0, 2, 3, 5)
    family, organism = experts(labelled(), slots)
    found = usage(family.task, family.probe(organism, *examples_of(family.task)))
    by_example = counted(organism, slots).tolist()
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


def test_without_labels_there_is_the_load_alone() -> None:
    family, organism = experts(small_task("class"), (0, 1, 2))
    found = usage(family.task, family.probe(organism, *examples_of(family.task)))
    assert sum(one.load or 0 for one in found) == pytest.approx(2)
    assert all(one.by_kind == () for one in found)


def test_components_that_answer_every_token_have_no_usage() -> None:
    family = small_species(labelled())
    organism = small_organism(family, (0, 2, 3))
    probe = family.probe(organism, *examples_of(family.task))
    assert probe.answered is None
    assert usage(family.task, probe) == [Usage(None, ())] * 3
