import numpy as np
import pytest
import torch

from organisms.pseudopods.species.pseudopod import observe
from tests.fixtures import naive_pseudopods as naive
from tests.fixtures.naive_interface import parts
from tests.fixtures.small_worlds import KINDS, NAMES, examples_of, small_organism, small_species, small_task


def built(kind=KINDS[0], slots=(0, 2, 3, 4, 6)):
    organism = small_organism(small_species(small_task(*kind), depth=2, capacity=4), slots)
    return organism, examples_of(organism.task)[0]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_head_is_seen_to_write_and_look_as_it_does_by_definition(kind):
    organism, inputs = built(kind)
    task, heads = organism.task, parts(organism)
    streams = [naive.streams(organism, heads, one) for one in inputs]
    for slot, head in heads.items():
        seen = observe(organism, slot, inputs)
        reads = [naive.norm(stream[head.layer]) for stream in streams]
        nothing = [[]]
        written = torch.stack([naive.written(task, head, one, nothing) for one in reads])
        torch.testing.assert_close(seen.written.double(), written, rtol=1e-4, atol=1e-5)
        patterns = {
            other: torch.stack([naive.weights(task, heads[other], one, nothing) for one in reads]).mean(0)
            for other in heads
            if heads[other].layer == head.layer
        }
        own = patterns.pop(slot)
        torch.testing.assert_close(seen.pattern.double(), own, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            seen.others.double(), torch.stack(list(patterns.values())), rtol=1e-4, atol=1e-6
        )
        cosines = [(own * other).sum() / own.norm() / other.norm() for other in patterns.values()]
        assert seen.coherence().item() == pytest.approx(float(sum(cosines)) / len(cosines), rel=1e-5)
        assert 0 <= seen.coherence().item() <= 1


def test_correlation_and_rank_are_those_of_what_is_written():
    organism, inputs = built()
    for slot in (0, 4):
        seen = observe(organism, slot, inputs)
        rows = seen.written.numpy().reshape(-1, 9).astype(np.float64)
        np.testing.assert_allclose(seen.correlation().numpy(), np.corrcoef(rows, rowvar=False), atol=1e-5)
        squares = np.linalg.svd(rows, compute_uv=False) ** 2
        assert seen.effective_rank().item() == pytest.approx(
            squares.sum() ** 2 / (squares**2).sum(), rel=1e-5
        )
        width = organism.pool.occupants[slot].gene("width")
        assert 1 <= seen.effective_rank().item() <= width + 1e-5


def test_alone_in_its_layer_a_head_coheres_with_nothing():
    organism, inputs = built(slots=(0, 4, 5))
    assert observe(organism, 0, inputs).coherence().item() == 0
    assert observe(organism, 4, inputs).coherence().item() > 0


def test_equal_heads_cohere_fully():
    organism, inputs = built(slots=(0,))
    organism.pool.graft(2, organism.pool.genome(0), organism.pool.occupants[0])
    assert observe(organism, 0, inputs).coherence().item() == pytest.approx(1)


def test_an_empty_slot_cannot_be_observed():
    organism, inputs = built(slots=(0, 2))
    with pytest.raises(ValueError, match=r"slot 1 is empty; living slots: \[0, 2\]"):
        observe(organism, 1, inputs)
