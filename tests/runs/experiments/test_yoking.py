"""Yoked arms: their times are those of another arm's run, and their runs are runs like any other."""

import shutil

import pytest

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.calibration.stored import config_of
from runs.errors import ConfigError
from runs.experiments.folder import ExperimentFolder, agreed
from runs.experiments.running import Running
from runs.experiments.yoking import timetable_of
from runs.launch import silent
from runs.replay import decisions, replay
from runs.workers.tasks import InlineTasks, Outcome
from tests.fixtures.experiments import carried_out, planned_small
from tests.fixtures.small_runs import digests

ARMS = {"random": {"births": "random", "yoke": "archive"}, "archive": {}}
EARLY = (
    "rounds=4",
    "lifecycle.warmup=0",
    "lifecycle.gentle=0",
    "lifecycle.births_per_round=2",
    "organism.capacity=6",
    "organism.count=3",
)


def planned_yoked(**changes):
    return planned_small(*EARLY, **{"arms": ARMS, "seeds": [1], **changes})


def happened(run):
    """Births and deaths by round and organism."""
    frame = open_run(run).decisions().query("happens")
    return frame.groupby(["round", "organism", "kind"]).size().to_dict()


def test_the_timetable_of_a_run_is_what_happened_there(undisturbed):
    found = {}
    for turn in timetable_of(undisturbed):
        for kind in ("birth", "death"):
            if turn[f"{kind}s"]:
                found[turn["round"], turn["organism"], kind] = turn[f"{kind}s"]
    assert found == happened(undisturbed)
    assert len(found) > 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return carried_out(tmp_path_factory.mktemp("yoked") / "made", planned_yoked())


@pytest.mark.long
def test_as_many_are_born_and_die_when_and_where_they_did_in_the_other_run(made):
    archive, random = (made.cell(arm, 1) for arm in ("archive", "random"))
    assert happened(random) == happened(archive)
    assert {kind for _, _, kind in happened(archive)} == {"birth", "death"}
    births = open_run(random).decisions().query("kind == 'birth' and happens")
    assert set(births["operator"]) == {"random"}
    assert digests(random) != digests(archive)


@pytest.mark.long
def test_its_run_is_made_again_bit_for_bit_without_the_other(made, tmp_path):
    copy = shutil.copytree(made.cell("random", 1), tmp_path / "alone")
    assert replay(copy, None, {"executor": "inline"}) is None
    _, _, difference = decisions(copy)
    assert difference is None


@pytest.mark.long
def test_it_waits_for_the_run_that_it_follows_and_goes_on_after_it(made, tmp_path):
    folder = ExperimentFolder(shutil.copytree(made.path, tmp_path / "copy"))
    expected = digests(made.cell("random", 1))
    shutil.rmtree(folder.cell("random", 1))
    plan = folder.plan()
    assert plan == planned_yoked()
    Running(folder, plan, InlineTasks(), silent).run(lambda: False)
    assert digests(folder.cell("random", 1)) == expected
    assert config_of(RunDirectory(folder.cell("random", 1))).lifecycle.timetable is not None


class Failing(InlineTasks):
    """A pool in which the runs of one arm fail."""

    def wait(self, seconds):
        if self._waiting and self._waiting[0][0].startswith("archive"):
            return [Outcome(self._waiting.pop(0)[0], 1, "it fell over")]
        self._waiting and self._waiting.pop(0)
        return []


def test_a_run_whose_times_never_come_is_named(tmp_path):
    folder, plan = ExperimentFolder(tmp_path / "failing"), planned_yoked()
    folder.create(plan)
    folder.calibration("random", 1).mkdir(parents=True)
    running = Running(folder, plan, Failing(), silent)
    running.run(lambda: False)
    assert {str(task): said for task, said in running.failures.items()} == {
        "archive, seed 1": "it fell over",
        "random, seed 1": "the run that it is yoked to, archive, seed 1, failed",
    }


@pytest.mark.parametrize(
    ("arms", "told"),
    [
        ({"a": {}, "b": {"yoke": "c"}}, r"arm b is yoked to c, which is no arm; arms: a, b"),
        (
            {"archive": {}, "b": {"yoke": "archiv"}},
            r"which is no arm; did you mean archive\? arms: archive, b",
        ),
        ({"a": {}, "b": {"yoke": "b"}}, "arm b is yoked to b, which has no times of its own"),
        (
            {"a": {}, "b": {"yoke": "a"}, "c": {"yoke": "b"}},
            "arm c is yoked to b, which has no times of its own",
        ),
        ({"a": {}, "b": {"yoke": 3}}, "arm b is yoked to 3, which is no arm"),
        (
            {"a": {}, "b": {"yoke": "a", "rounds": 3}},
            "arm b is yoked to a, whose rounds is 4 and not 3; give both the same",
        ),
        (
            {"a": {}, "b": {"yoke": "a", "lifecycle": {"timetable": []}}},
            r"arm b is yoked to a and sets lifecycle\.timetable, which follows from that",
        ),
        ({"a": {}, "b": {"yoke": "a"}, "c": {"yoke": "a"}}, "the arms b and c have the same settings"),
    ],
)
def test_what_cannot_be_yoked_is_one_sentence(arms, told):
    with pytest.raises(ConfigError, match=told):
        planned_yoked(arms=arms)


def test_an_experiment_of_other_yokes_is_another_one(tmp_path):
    folder = ExperimentFolder(tmp_path / "made")
    three = {"archive": {}, "clone": {"births": "clone"}}
    folder.create(planned_yoked(arms=three | {"random": {"births": "random", "yoke": "archive"}}))
    with pytest.raises(ConfigError, match="arm random is yoked to archive against clone"):
        agreed(folder, planned_yoked(arms=three | {"random": {"births": "random", "yoke": "clone"}}))
