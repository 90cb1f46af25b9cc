"""What is missing or damaged in a run directory is made again, to the same digest."""

import shutil

import pytest

from archive_store.errors import BlobError, StoreError
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.errors import RunError
from runs.launch import launch
from runs.resume import resume
from runs.rounds.recovery import Recovery
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import contents, copied, digests, small

HARMS = ("missing", "damaged")


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A small run whose driver was killed right after round 3; states are kept of round 2."""
    run = tmp_path_factory.mktemp("cut-off") / "run"
    killed(launch_and_die, run, 3)
    return run


def harm(run, digest, how):
    path = RunDirectory.open(run).blobs.path(digest)
    data = path.read_bytes()
    path.unlink() if how == "missing" else path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def states(run):
    with RunDirectory.open(run).journal() as journal:
        return [state for state in journal.states() if RunDirectory.open(run).blobs.has(state.digest)]


def made_in_rounds(run):
    """Name every blob but those of the calibration."""
    calibration = open_run(run).calibration()
    kept = {calibration["interface"], calibration["centroids"], *calibration["hosts"]}
    return [digest for digest in RunDirectory.open(run).blobs.digests() if digest not in kept]


def parents(run, round):
    """Name the stored genomes that the births of a round need."""
    with RunDirectory.open(run).journal() as journal:
        orders = [event.value for event in journal.events(round, "decision")]
    births = [birth for order in orders for birth in order["births"] if birth["happens"]]
    return [
        digest for birth in births for one in (birth, *birth.get("others", ())) for digest in one["genomes"]
    ]


def check_whole(run, undisturbed):
    """Check that a resumed run is what it would have been."""
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
    for digest in open_run(run).elites().genome:
        assert RunDirectory.open(run).blobs.intact(digest)
    open_run(run).directory.check_manifest()


@pytest.mark.parametrize("how", HARMS)
class TestGenomes:
    def test_a_parent_of_the_next_births(self, how, cut_off, undisturbed, tmp_path):
        run = copied(cut_off, tmp_path)
        harm(run, parents(run, 3)[0], how)
        resume(run, {})
        check_whole(run, undisturbed)

    def test_every_elite(self, how, cut_off, undisturbed, tmp_path):
        run = copied(cut_off, tmp_path)
        for digest in open_run(run).elites().genome:
            harm(run, digest, how)
        resume(run, {})
        check_whole(run, undisturbed)

    def test_everything_but_the_calibration(self, how, cut_off, undisturbed, tmp_path):
        """Parents that are needed to make other parents again are made first."""
        run = copied(cut_off, tmp_path)
        for digest in made_in_rounds(run):
            harm(run, digest, how)
        resume(run, {})
        check_whole(run, undisturbed)

    def test_an_elite_of_a_finished_run(self, how, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        harm(run, open_run(run).elites().genome.iloc[0], how)
        resume(run, {})
        check_whole(run, undisturbed)


@pytest.mark.long
def test_one_thing_that_needs_another_that_is_damaged_too(tmp_path):
    """An elite of organism 0 alone is damaged, and a parent from another organism that it descends from."""
    sizes = ("rounds=12", "organism.count=4", "execution.checkpoint_every=12", "lifecycle.births_per_round=2")
    whole = launch(small(*sizes, "chemotaxis.tau=5"), tmp_path / "whole")
    late = open_run(whole).elites().sort_values("round", ascending=False)
    for elite in late.head(2).itertuples():
        run = copied(whole, tmp_path / elite.genome[:8])
        harm(run, elite.genome, "damaged")
        for digest in {one for round in range(2, elite.round + 1) for one in parents(run, round)}:
            if RunDirectory.open(run).blobs.intact(digest):
                harm(run, digest, "missing")
        resume(run, {})
        check_whole(run, whole)
        shutil.rmtree(run)


def test_a_run_that_is_renamed_while_it_is_written_leaves_no_ghost(tmp_path):
    run = tmp_path / "run"

    def rename(progress):
        if (progress.stage, progress.round) == ("rounds", 1):
            run.rename(tmp_path / "renamed")

    with pytest.raises(StoreError, match="run/blobs cannot be written: there is no such folder any more"):
        launch(small(), run, rename)
    assert [path.name for path in tmp_path.iterdir()] == ["renamed"]


def test_an_ended_run_whose_other_files_are_damaged_is_not_gone_on_with(undisturbed, tmp_path):
    run = copied(undisturbed, tmp_path)
    harm(run, open_run(run).elites().genome.iloc[0], "damaged")
    (run / "environment.json").write_text((run / "environment.json").read_text().replace("Linux", "Minix"))
    with pytest.raises(StoreError, match=r"environment\.json was altered"):
        resume(run, {})
    assert RunDirectory.open(run).finished()


def test_a_genome_that_nobody_made_is_named_as_lost(cut_off, tmp_path):
    run = copied(cut_off, tmp_path)
    directory = RunDirectory.open(run)
    told = r"blob .*0{64}.* is missing or damaged, and the journal does not say"
    with directory.journal() as journal, pytest.raises(RunError, match=told):
        Recovery(directory.blobs, journal, 3).look_for(["0" * 64])


def test_a_genome_that_comes_out_otherwise_is_named_as_lost(cut_off, tmp_path, monkeypatch):
    """As on another machine, where a resume was accepted."""
    run = copied(cut_off, tmp_path)
    elites = open_run(run).elites()
    digest = elites[elites["emitter"].isna()].genome.iloc[0]
    harm(run, digest, "damaged")
    monkeypatch.setattr("runs.trainer.learning_rate", lambda world, steps: lambda step: 1e-3)
    monkeypatch.setattr("runs.resume.last_move", lambda journal: 9)
    with pytest.raises(RunError, match=rf"genome {digest} is lost: .* restore .*{digest}"):
        resume(run, {})


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_child_of_an_emitter_is_made_again_with_its_parents(undisturbed, tmp_path, how):
    run = copied(undisturbed, tmp_path)
    opened = open_run(run)
    elites = opened.elites()
    children = elites[elites["emitter"].notna()]
    assert len(children)
    for digest in children["genome"]:
        harm(run, digest, how)
    resume(run, {})
    for digest in children["genome"]:
        opened.genome(digest)
    assert digests(run) == digests(undisturbed)


def test_the_newest_intact_checkpoint_is_taken(undisturbed, tmp_path):
    run = copied(undisturbed, tmp_path)
    directory = RunDirectory.open(run)
    with directory.journal() as journal:
        kept = {state.round: state.digest for state in journal.states(1)}
        assert sorted(kept) == [2, 4]

        def newest(until):
            round, state = Recovery(directory.blobs, journal, 3).checkpoint(1, until)
            assert state == (directory.blobs.get(kept[round]) if round else None)
            return round

        assert [newest(until) for until in range(6)] == [0, 0, 2, 2, 4, 4]
        with pytest.raises(
            RunError, match="after rounds 3 to 3 is intact, and what came before was made under other"
        ):
            Recovery(directory.blobs, journal, 3, first=3).checkpoint(1, 3)
        harm(run, kept[4], "damaged")
        assert newest(5) == 2
        harm(run, kept[2], "missing")
        assert newest(5) == 0
    with pytest.raises(BlobError):
        directory.blobs.get(kept[4])


def test_small_runs_have_what_these_tests_need(cut_off):
    assert parents(cut_off, 3)
    assert small().execution.checkpoint_every == 2
    assert {state.round for state in states(cut_off)} == {2}
