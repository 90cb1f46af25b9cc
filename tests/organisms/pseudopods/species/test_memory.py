"""What the memory of a layer owes, in organisms that read whole streams and in those that read them in pieces."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.options import Sizes
from organisms.pseudopods.species import PseudopodOptions, Pseudopods
from organisms.pseudopods.species.reading import read
from organisms.pseudopods.species.remembered import after
from organisms.pseudopods.tubes import TubeRules
from tests.fixtures.small_worlds import (
    CHUNK,
    examples_of,
    small_organism,
    small_species,
    small_stream,
    small_task,
)
from tests.organisms.cases import CASES, in_float64

STREAMS = [case for case in CASES if case.variant in ("chunks alone", "tubes", "many tubes")]
SLOTS = (0, 2, 3, 4, 6)


def remembering(task=None, capacity=4, **options):
    kept = {"memory": "tubes", "memory_capacity": capacity} | options
    return small_organism(small_species(task or small_stream(), depth=2, capacity=4, **kept), SLOTS)


@pytest.mark.parametrize("case", STREAMS, ids=str)
class TestReading:
    @given(cuts=st.sets(st.integers(1, 11)))
    @settings(max_examples=25)
    def test_a_stream_that_is_cut_anywhere_has_the_outputs_of_the_whole(self, case, cuts):
        organism, inputs, _ = in_float64(case.organism())
        state, found, places = None, [], [0, *sorted(cuts), inputs.shape[1]]
        with torch.no_grad():
            for first, last in pairwise(places):
                outputs, state = read(organism, inputs[:, first:last], state)
                found.append(outputs)
            torch.testing.assert_close(torch.cat(found, 1), organism(inputs), rtol=1e-6, atol=1e-7)

    def test_the_state_does_not_grow_with_the_stream_and_has_no_gradient(self, case):
        organism, inputs, _ = in_float64(case.organism())
        _, state = read(organism, inputs[:, :7])
        _, later = read(organism, inputs.repeat(1, 3)[:, 7:31], state)
        for one, other in zip(state.hidden, later.hidden, strict=True):
            assert one.content.shape == other.content.shape
            assert not other.content.requires_grad
        assert state.input.shape == later.input.shape
        assert later.residual.shape[2] == 0


def test_a_state_of_other_streams_or_of_another_organism_is_refused():
    organism = remembering()
    inputs, _ = examples_of(organism.task)
    _, state = read(organism, inputs)
    with pytest.raises(ValueError, match="state is of 11 sequences, but there are 2 now"):
        read(organism, inputs[:2], state)
    with pytest.raises(ValueError, match=r"another model: its hidden\[0\]\.content must be .* \[11, 5, 9\]"):
        read(remembering(capacity=5), inputs, state)
    with pytest.raises(ValueError, match="state must be a FlowState"):
        read(organism, inputs, "before")


@pytest.mark.parametrize("task", [small_task("token", "discrete", causal=True), small_stream("class")])
def test_what_is_no_stream_with_an_output_for_every_token_cannot_be_read_on(task):
    organism = small_organism(small_species(task))
    with pytest.raises(ValueError, match="the task 'small' is no stream with an output for every token"):
        read(organism, examples_of(task)[0])


def changed_outputs(organism, place):
    """How much the outputs at every token change when another token stands at one place."""
    inputs, _ = examples_of(organism.task)
    changed = inputs.clone()
    changed[:, place] = (inputs[:, place] + 1) % 3
    return (organism(inputs) - organism(changed)).abs().amax((0, 2))


def test_without_a_memory_a_chunk_knows_nothing_of_the_others_and_with_one_it_does():
    alone = changed_outputs(small_organism(small_species(small_stream(), depth=2, capacity=4), SLOTS), 4)
    assert alone[3:6].max() > 1e-3
    assert not alone[6:].any()
    with_tubes = changed_outputs(remembering(capacity=12), 4)
    assert not with_tubes[:4].any()
    assert (with_tubes[4:] > 1e-4).all()


def test_a_memory_as_large_as_the_stream_without_decay_or_flow_is_attention_to_all_that_was():
    """Tubes of one conductance c shift all scores alike: what is left are the tokens that they hold."""
    organism, *_ = in_float64(remembering(capacity=12))
    organism.memory = TubeRules(0.0, 12, exponent=0.0)  # every tube that is kept has a conductance of 1
    organism.interface["store"] = torch.full_like(organism.interface["store"], 0.0)
    h = torch.randn(2, 12, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, _ = organism.attended(0, h)
    query, key, value = (organism.circuits(0, h)[at] for at in range(3))
    scale = organism.visible(0).scale.double()[:, None, None]
    window = organism.visible(0).window[:, None, None]
    places = torch.arange(12)
    same, apart = places[:, None] // CHUNK == places // CHUNK, places[:, None] - places
    hidden = (apart < 0) | (same & (apart >= window))
    newest = (places[:, None] // CHUNK - places // CHUNK) == 1  # opened with sigmoid(0), not yet adapted
    scores = scale * query @ key.mT + math.log(0.5) * newest
    expected = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ value
    torch.testing.assert_close(found, expected)


def test_of_tokens_of_equal_worth_the_newest_stay_and_what_is_like_the_present_outlasts_them():
    rules, h = TubeRules(0.9, 2), torch.eye(4)[None]
    tubes = after(rules.none(h[:, 0]), h[:, :3], torch.zeros(4), rules)
    assert torch.equal(tubes.content, h[:, [2, 1]])
    liked = after(
        tubes, 9 * h[:, [1]], torch.full((4,), -1.0), rules
    )  # of little worth itself, and like the second
    assert torch.equal(liked.content, h[:, [1, 2]])
    assert liked.conductance[0, 0] > liked.conductance[0, 1]


@pytest.mark.parametrize(("truncation", "reached"), [(None, [0, 1, 2]), (2, [2]), (1, [])])
def test_gradients_are_cut_between_chunks_and_outputs_are_not(truncation, reached):
    organism, inputs, _ = in_float64(remembering(small_stream(truncation=truncation), capacity=12))
    whole, *_ = in_float64(remembering(capacity=12))
    assert torch.equal(organism(inputs), whole(inputs))
    h = torch.randn(2, 12, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    h.requires_grad_()
    (gradient,) = torch.autograd.grad(organism.mixed(0, h)[:, 9:].sum(), h)
    chunks = gradient.unflatten(1, (4, CHUNK)).abs().amax((0, 2, 3))
    assert chunks[:3].nonzero().flatten().tolist() == reached
    assert chunks[3] > 0


def test_what_is_worth_keeping_is_part_of_the_interface_and_learns():
    organism, inputs, targets = in_float64(remembering(capacity=3))
    store = organism.interface["store"].requires_grad_()
    (gradient,) = torch.autograd.grad(organism.training_losses(inputs, targets).mean(), store)
    assert gradient.shape == (2, 9)
    assert (gradient.abs().amax(1) > 1e-8).all()
    family = small_species(small_stream(), depth=2)
    assert "store" not in family.interface(torch.Generator())


def test_cost_counts_the_tubes_that_every_token_sees():
    S, K, D, R, W, M = 12, 4, 9, 2, 3, 5
    genes = tuple(sorted({"rank": 2.0, "temperature": 1.0, "width": 3.0, "window": 9.0}.items()))
    alone = small_species(small_stream()).cost(genes)
    flops, moved = small_species(small_stream(), memory="tubes", memory_capacity=M).cost(genes)
    assert alone[0] == 2 * S * D * 2 * (R + W) + K * 6 * (2 * R + 2 * W + 5)
    assert flops - alone[0] == 2 * K * M * D * (R + W) + S * M * (2 * R + 2 * W + 5)
    assert moved - alone[1] == 4 * (K * M * D + 2 * K * M * (R + W))


def test_a_memory_of_what_is_no_stream_is_refused_in_one_sentence():
    options = PseudopodOptions(memory="tubes")
    assert "it is no stream, of which organism.pseudopods.memory: tubes" in options.refusal(small_task())
    assert options.refusal(small_stream()) is None
    assert PseudopodOptions().refusal(small_stream()) is None
    assert PseudopodOptions().refusal(small_task()) is None


def test_a_window_reaches_no_further_than_a_chunk():
    task = small_stream()
    assert Pseudopods(task, Sizes(), PseudopodOptions()).genes["window"].high == CHUNK
    roomy = replace(task, chunk=6)
    assert Pseudopods(roomy, Sizes(), PseudopodOptions()).genes["window"].high == 6
    assert np.array_equal(task.visible(3.0), task.visible(99.0))
