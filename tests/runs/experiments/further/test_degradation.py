"""Removal by gates against parts that are taken out of the pool, and what curves come to."""

import json
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_store.errors import RunDirectoryError
from archive_store.reading import open_run
from organisms.nn import score
from runs.calibration.stored import config_of
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import degradation
from runs.experiments.further.degradation import Degraded, degraded, removable
from runs.results.best import newest, organism_of, world_of

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=9)


@pytest.fixture(scope="module")
def run(done):
    return open_run(done.cell("static", 0))


@pytest.fixture(scope="module")
def found(run):
    return degraded(run)


def test_a_curve_is_what_is_left_when_parts_are_taken_out_of_the_pool(run, found):
    state = newest(run)
    world = world_of(run, config_of(run.directory))
    records = run.records().query(f"organism == {state.organism} and round == {state.round}")
    for order, ascending in (("worst_first", True), ("best_first", False)):
        organism = organism_of(run, world, state)
        slots = records.sort_values("ablation", ascending=ascending)["slot"].astype(int)
        expected = [score(world.task, organism(world.test.inputs), world.test.targets)]
        for slot in slots:
            organism.pool.retire(slot)
            expected.append(score(world.task, organism(world.test.inputs), world.test.targets))
        assert getattr(found, order) == pytest.approx(tuple(expected))
    assert found.parts == len(records)
    assert found.shares == pytest.approx(tuple(n / found.parts for n in range(found.parts + 1)))


def test_all_orders_begin_with_all_parts_and_end_with_none_and_are_the_same_again(run, found):
    ends = {(scores[0], scores[-1]) for scores in (found.random, found.worst_first, found.best_first)}
    assert len({tuple(round(end, 12) for end in each) for each in ends}) == 1
    assert degraded(run) == found
    assert len(set(found.random)) > 2


@given(scores=SCORES)
def test_what_can_go_is_where_a_straight_line_crosses_nine_tenths(scores):
    shares = [place / (len(scores) - 1) for place in range(len(scores))]
    share = removable(shares, scores)
    if scores[0] <= scores[-1]:
        assert share is None
        return
    least = scores[-1] + 0.9 * (scores[0] - scores[-1])
    place = share * (len(scores) - 1)
    before, part = int(place), place - int(place)
    after = min(before + 1, len(scores) - 1)
    assert scores[before] * (1 - part) + scores[after] * part == pytest.approx(least, abs=1e-6)
    assert all(score >= least - 1e-9 for score in scores[: before + 1])


def test_the_mean_of_a_line_is_the_mean_of_its_ends():
    line = Degraded("digest", 4, (0.0, 0.25, 1.0), (0.9, 0.7, 0.1), (0.9, 0.9, 0.9), (0.5, 0.4, 0.1))
    assert line.metrics() == pytest.approx(
        {
            "degradation_random": 0.5,
            "degradation_worst_first": 0.9,
            "degradation_best_first": 0.25 * 0.45 + 0.75 * 0.25,
            "removable": 0.1,
        }
    )


def test_what_is_kept_is_read_back_and_only_other_runs_are_measured_again(done, found, tmp_path, monkeypatch):
    folder, plan = ExperimentFolder(shutil.copytree(done.path, tmp_path / "copy")), done.plan()
    assert degradation.kept(folder) == {}
    assert degradation.curves({}, plan) == {}
    known = {arm.name: dict.fromkeys(plan.seeds, replace(found, run="another")) for arm in plan.arms}
    known["static"][0] = found
    degradation.keep(folder, known)
    assert degradation.kept(folder) == known
    measured = []
    monkeypatch.setattr(degradation, "degraded", lambda run: measured.append(run.digest()))
    again = degradation.measured(folder, plan, degradation.kept(folder))
    assert again == {"archive": {}, "static": {0: found}}
    assert len(measured) == 3
    drawn = degradation.curves(again, plan)
    assert drawn["at random"] == {"archive": [], "static": [(found.shares, found.random)]}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-9],
        lambda text: text.replace('"random"', '"rondom"', 1),
        lambda text: json.dumps({"static": {"0": json.loads(text)["static"]["0"] | {"shares": [0.0]}}}),
        lambda text: "[]",
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_told(done, found, tmp_path, spoil):
    folder = ExperimentFolder(tmp_path)
    degradation.keep(folder, {"static": {0: found}})
    path = tmp_path / "degradation.json"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(RunDirectoryError, match=r"degradation\.json cannot be read .*--also degradation"):
        degradation.kept(folder)
