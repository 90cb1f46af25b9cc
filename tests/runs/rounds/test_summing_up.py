"""The summary of a round, held against its censuses, its decisions and its archive."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.archive import Archive
from runs.rounds.summing_up import summary_of
from tests.faults.fake_trainers import Play, calibration, ledger_config


@pytest.fixture(scope="module")
def round():
    """The third round of a play: decisions and censuses."""
    items = Play(ledger_config(rounds=4)).to_the_end().rounds[2].items
    return [[item for kind, item in items if kind == wanted] for wanted in ("decision", "census")]


@pytest.fixture(scope="module")
def empty():
    archive = Archive(calibration().centroids, 0.0)
    return archive, archive.view({})


def test_of_an_empty_archive_nothing_is_best(round, empty):
    found = summary_of(*round, *empty)
    assert (found["coverage"], found["qd_score"], found["visited_cells"]) == (0.0, 0.0, 0)
    assert found["best_objective"] is found["mean_objective"] is None
    assert found["round"] == 3


@given(data=st.data())
def test_scores_are_those_of_the_organisms_that_are_not_in_quarantine(round, empty, data):
    decisions, censuses = round
    scores = data.draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))
    lost = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    given = [
        replace(census, validation_score=score, loss=score / 2, quarantine="nan" if gone else None)
        for census, score, gone in zip(censuses, scores, lost, strict=True)
    ]
    found = summary_of(decisions, given, *empty)
    finite = [census for census, gone in zip(given, lost, strict=True) if not gone]
    assert found["quarantined"] == sum(lost)
    assert found["alive"] == sum(len(census.records) for census in finite)
    if not finite:
        assert found["best_validation_score"] is found["mean_validation_score"] is found["mean_loss"] is None
        return
    kept = np.array([census.validation_score for census in finite])
    assert found["best_validation_score"] == kept.max()
    assert found["mean_validation_score"] == pytest.approx(kept.mean())
    assert found["mean_loss"] == pytest.approx(kept.mean() / 2)


def test_phase_and_temperature_are_those_of_who_has_taken_the_most_steps(round, empty):
    decisions, censuses = round
    behind = replace(decisions[0], step=1, temperature=0.9, phase="gentle")
    ahead = replace(decisions[1], step=7, temperature=0.2, phase="full")
    level = replace(decisions[2], step=7, temperature=0.3, phase="quiet")
    found = summary_of([behind, ahead, level], censuses, *empty)
    assert (found["temperature"], found["phase"]) == (0.2, "full")


def test_flops_count_for_organisms_in_quarantine_too(round, empty):
    decisions, censuses = round
    given = [
        replace(census, flops_training=10.0**place, flops_assays=2.0, quarantine="nan")
        for place, census in enumerate(censuses)
    ]
    found = summary_of(decisions, given, *empty)
    assert (found["flops_training"], found["flops_assays"]) == (111.0, 6.0)
    assert math.isfinite(found["flops_training"])
