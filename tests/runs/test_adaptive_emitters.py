"""Runs whose emitters are adaptive: what strategies are told is in the journal, so that all that is promised holds."""

import pytest

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.errors import Stopped
from runs.launch import launch
from runs.replay import decisions, replay
from runs.resume import resume
from tests.fixtures.small_runs import contents, digests, launched, small

ADAPTIVE = ("emitters.kinds=[cma_mae, iso_line]", "emitters.shares=even", "rounds=6")


@pytest.fixture(scope="module", params=["pseudopods", "experts"])
def adaptive(request, tmp_path_factory):
    kind = f"organism.kind={request.param}"
    return (*ADAPTIVE, kind), launched(tmp_path_factory.mktemp("adaptive") / "run", *ADAPTIVE, kind)


@pytest.mark.long
def test_strategies_go_on_and_win_cells(adaptive):
    _, run = adaptive
    with RunDirectory.open(run).journal() as journal:
        asked = [event.value for event in journal.events(kind="emission")]
    told = [len(one["campaign"]["improvements"]) for one in asked if "campaign" in one]
    assert max(told) >= 1
    chunks = open_run(run).emitters().query("emitter == 'cma_mae'")
    assert (chunks["scored"] == chunks["children"]).all()
    assert chunks["won"].sum() > 0


@pytest.mark.long
def test_they_are_replayed(adaptive):
    _, run = adaptive
    assert replay(run, None, {}) is None
    assert decisions(run)[2] is None


@pytest.mark.long
@pytest.mark.parametrize("round", [3, 5])
def test_stopped_in_between_they_come_to_the_same(adaptive, round, tmp_path):
    settings, whole = adaptive

    def stop(progress):
        if (progress.stage, progress.round) == ("rounds", round):
            raise Stopped("here")

    with pytest.raises(Stopped):
        launch(small(*settings), tmp_path / "run", stop)
    resume(tmp_path / "run", {})
    assert digests(tmp_path / "run") == digests(whole)
    assert contents(tmp_path / "run") == contents(whole)


@pytest.mark.long
def test_children_of_a_strategy_that_were_lost_are_made_again(adaptive, tmp_path):
    settings, run = adaptive
    cut = tmp_path / "cut"

    def stop(progress):
        if (progress.stage, progress.round) == ("rounds", 5):
            raise Stopped("here")

    with pytest.raises(Stopped):
        launch(small(*settings), cut, stop)
    held = open_run(cut).elites().query("emitter == 'cma_mae'")["genome"]
    directory = RunDirectory.open(cut)
    for genome in held:
        directory.blobs.path(genome).unlink()
    resume(cut, {})
    assert digests(cut) == digests(run)
    assert all(directory.blobs.intact(genome) for genome in open_run(cut).elites()["genome"])
