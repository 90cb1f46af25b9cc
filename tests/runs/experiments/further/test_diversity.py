"""Diversity of made-up parts, and the sizes of the networks of a small experiment."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_store.reading import open_run
from qd.measures import Ranges
from runs.calibration.stored import config_of
from runs.experiments.further.diversity import diversity
from runs.experiments.further.sizes import held_in, sizes
from runs.results.best import newest, organism_of, world_of

RANGES = Ranges((0.0, -2.0), (10.0, 2.0))


def parts(organism, places, correlation=0.25):
    one, other = np.array(places, dtype=float).T
    frame = pd.DataFrame({"organism": organism, "one": 10 * one, "other": 4 * other - 2})
    return frame.assign(home_correlation=correlation, home_coherence=0.5)


def test_it_is_the_variance_in_the_unit_cube_and_the_mean_of_organisms():
    even = parts(0, [(0.0, 0.5), (1.0, 0.5)], 0.0)
    alike = parts(1, [(0.3, 0.3)] * 3, 0.5)
    alone = parts(2, [(0.9, 0.1)], 0.9)
    found = diversity(pd.concat([even, alike, alone]), ["one", "other"], RANGES)
    assert found == pytest.approx({"behaviour_variance": 0.125, "correlation": 0.25, "coherence": 0.5})


@given(
    places=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8),
    beyond=st.floats(1, 5),
)
def test_it_does_not_go_by_the_order_of_parts_nor_by_what_lies_beyond_the_ranges(places, beyond):
    frame = parts(0, places)
    found = diversity(frame, ["one", "other"], RANGES)["behaviour_variance"]
    assert 0 <= found <= 0.5
    assert diversity(frame[::-1], ["one", "other"], RANGES)["behaviour_variance"] == pytest.approx(found)
    further = parts(0, [(beyond, 0.5), (0.0, 0.5)])
    assert diversity(further, ["one", "other"], RANGES)["behaviour_variance"] == pytest.approx(0.25)


def test_what_a_family_does_not_say_is_not_known_and_single_parts_have_no_diversity():
    frame = parts(0, [(0.1, 0.2), (0.3, 0.4)]).assign(home_coherence=None)
    assert diversity(frame, ["one", "other"], RANGES)["coherence"] is None
    assert diversity(parts(0, [(0.1, 0.2)]), ["one", "other"], RANGES) == {}


@given(shape=st.tuples(*[st.integers(1, 5)] * 3), own=st.tuples(*[st.integers(1, 5)] * 3))
def test_a_corner_is_as_large_as_what_was_put_there(shape, own):
    own = tuple(min(each) for each in zip(shape, own, strict=True))
    padded = np.zeros(shape)
    padded[tuple(slice(size) for size in own)] = np.random.default_rng(0).normal(size=own)
    assert held_in(padded) == np.prod(own)
    assert held_in(np.zeros(shape)) == 0


def test_the_sizes_are_those_of_the_network_that_is_built_again(done):
    run = open_run(done.cell("archive", 1))
    organism = organism_of(run, world_of(run, config_of(run.directory)), newest(run))
    found = sizes(run)
    assert found["network_parameters"] == organism.stats()["parameters"]
    last = run.records().query(f"round == {run.records()['round'].max()}")
    assert found["network_flops"] in set(last.groupby("organism")["flops"].sum())
