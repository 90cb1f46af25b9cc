"""Real runs with damaged bytes: `verify` names the file and what depends on it, and nothing uses it."""

import json
import sqlite3

import pytest

from archive_store.errors import BlobError, StoreError
from archive_store.journal.dependents import uses
from archive_store.journal.values import values
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.verification import MANIFEST, verify
from qd.emitters.records import Emission
from runs.replay import decisions, replay
from tests.faults.flips import blob, flips, one_of_every_kind, tally, write
from tests.fixtures.small_runs import copied

FLIPS = 24  # of each kind of file
KINDS = ("interface", "host", "centroids", "state", "genome", "config", "environment", "journal", "manifest")


def every(path):
    """Give a step with which a file gets about `FLIPS` flips, at odd places."""
    return path.stat().st_size // FLIPS | 1


def checkpointed(run):
    """Move the journal of a killed run out of its write-ahead log, where SQLite's own checksums guard it."""
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return run


def only_problem(run):
    (problem,) = verify(run).problems
    return problem


class TestFinished:
    def test_an_intact_run_has_no_problem(self, undisturbed):
        found = verify(undisturbed)
        files = [path for path in undisturbed.rglob("*") if path.is_file()]
        assert (found.finished, found.rounds, found.problems) == (True, 4, ())
        assert (found.files, found.bytes) == (len(files), sum(path.stat().st_size for path in files))

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_flipped_byte_of_every_kind_of_file_is_found_and_nothing_else(
        self, undisturbed, tmp_path, kind
    ):
        run = copied(undisturbed, tmp_path)
        name = one_of_every_kind(run)[kind]
        found = tally(run, name, every(run / name))
        assert found.tried >= FLIPS
        assert found.missed == ()

    def test_what_depends_on_each_genome_is_what_the_frames_say(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        opened = open_run(run)
        elites = {elite.genome: elite for elite in opened.elites().itertuples()}
        with opened.directory.journal() as journal:
            calibration = next(journal.events(0)).value
            others = {calibration["interface"], calibration["centroids"], *calibration["hosts"]}
            others |= {state.digest for state in journal.states()}
            orders = [event.value for event in journal.events(kind="decision")]
            emissions = [event.value for event in journal.events(kind="emission")]
        children = {}
        for order in orders:
            for birth in order["births"]:
                proposals = (birth, *birth.get("others", ())) if birth["happens"] else ()
                for genome in (genome for proposal in proposals for genome in proposal["genomes"]):
                    children.setdefault(genome, set()).add(
                        f"{order['organism']}.{order['round']}.{birth['slot']}"
                    )
        emitted = {parent["genome"] for emission in emissions for parent in emission["parents"]}
        genomes = set(opened.directory.blobs.digests()) - others
        for genome in genomes:
            write(run / blob(run, genome), 40, 0)
        problems = {problem.file: problem for problem in verify(run).problems}
        assert set(problems) == {blob(run, genome) for genome in genomes}
        assert set(children) <= genomes
        for genome in genomes:
            problem = problems[blob(run, genome)]
            elite = elites.get(genome)
            at_the_end = "" if elite is None else f"the elite of cell {elite.cell} at the end of round 4"
            assert (at_the_end or "the elite of cell ") in problem.dependents
            assert (" at the end of round 4" in problem.dependents) == (elite is not None)
            phrases = problem.dependents.split("; ")
            born = [phrase for phrase in phrases if phrase.startswith("a possible parent of ")]
            assert {name for phrase in born for name in phrase[21:].split(", ")} == children.get(
                genome, set()
            )
            assert any(phrase.startswith("a parent of emitters' children in ") for phrase in phrases) == (
                genome in emitted
            )
            assert elite is None or problem.round == elite.round

    def test_what_was_damaged_before_the_run_ended_is_found_too(self, undisturbed, tmp_path):
        """The manifest notes what it finds; a blob's own name says what it was to be."""
        run = copied(undisturbed, tmp_path)
        directory = open_run(run).directory
        name = one_of_every_kind(run)["host"]
        write(run / name, 500, 0)
        directory.write_manifest(json.loads((run / MANIFEST).read_text())["digest"])
        assert only_problem(run).file == name


class TestUnfinished:
    def test_an_intact_run_has_no_problem_before_and_after_a_checkpoint_of_the_journal(
        self, cut_off, tmp_path
    ):
        run = copied(cut_off, tmp_path)
        for found in (verify(run), verify(checkpointed(run))):
            assert (found.finished, found.rounds, found.problems) == (False, 3, ())

    @pytest.mark.parametrize("kind", ["interface", "host", "centroids", "state", "genome"])
    def test_every_flipped_byte_of_every_kind_of_blob_is_found(self, cut_off, tmp_path, kind):
        run = copied(cut_off, tmp_path)
        name = one_of_every_kind(run)[kind]
        assert tally(run, name, every(run / name)).missed == ()

    def test_every_blob_says_what_depends_on_it(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        names = one_of_every_kind(run)
        told = {}
        for kind, name in names.items():
            if name.startswith("blobs/"):
                (run / name).unlink()
                told[kind] = only_problem(run)
                (run / name).write_bytes((cut_off / name).read_bytes())
        assert {problem.problem for problem in told.values()} == {"is missing"}
        assert {kind: problem.round for kind, problem in told.items() if kind != "genome"} == {
            "interface": 0, "host": 0, "centroids": 0, "state": 2,
        }  # fmt: skip
        assert told["interface"].dependents == "every round: the interface of all organisms"
        assert told["host"].dependents == "every round: reference host 0"
        assert told["centroids"].dependents == "every round: the cells of the archive"
        assert told["state"].dependents == (
            "organism 0 as it was after round 2; a resume founds the organism anew and repeats rounds 1 to 2"
        )
        assert "the elite of cell " in told["genome"].dependents

    @pytest.mark.parametrize("round", [0, 1, 3])
    def test_a_changed_event_row_is_named_by_its_round(self, cut_off, tmp_path, round):
        run = copied(cut_off, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            body = "replace(body, substr(body, length(body) / 2, 1), '_')"
            database.execute(f"UPDATE event SET body = {body} WHERE round = ? AND seq = 0", (round,))
        database.close()
        problem = only_problem(run)
        assert (problem.file, problem.round) == ("journal.sqlite", round)
        assert "is not as it was written" in problem.problem
        assert problem.dependents == (f"round {round} and all after it" if round else "every round")

    def test_flipped_bytes_inside_the_rows_of_the_file_are_named_by_their_round(self, cut_off, tmp_path):
        run = checkpointed(copied(cut_off, tmp_path))
        path = run / "journal.sqlite"
        data = path.read_bytes()
        with open_run(run).directory.journal() as journal:
            events = [event for event in journal.events() if event.kind == "decision"]
        for number, event in enumerate(events):
            body = event.body.encode()
            alone = next(body[:size] for size in range(40, len(body)) if data.count(body[:size]) == 1)
            place = data.index(alone) + 20
            write(path, place, data[place] ^ (1 << number % 8))
            problem = only_problem(run)
            assert (problem.file, problem.round) == ("journal.sqlite", event.round)
            write(path, place, data[place])

    def test_a_state_that_is_not_its_censuss_is_named(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            other = "(SELECT digest FROM state WHERE organism = 1)"
            database.execute(f"UPDATE state SET digest = {other} WHERE organism = 0")
        database.close()
        problem = only_problem(run)
        assert (problem.file, problem.round) == ("journal.sqlite", 2)
        assert "round 2 keeps another state of organism 0 than its census says" in problem.problem


class TestNothingUsesADamagedBlob:
    @pytest.mark.parametrize("harm", ["missing", "damaged"])
    def test_decisions_are_not_replayed_on_damaged_centroids(self, undisturbed, tmp_path, harm):
        run = copied(undisturbed, tmp_path)
        name = one_of_every_kind(run)["centroids"]
        (run / name).unlink() if harm == "missing" else write(run / name, 700, 1)
        with pytest.raises(BlobError, match=rf"blob .* is {harm}"):
            decisions(run)

    def test_a_replay_needs_no_blob_at_all(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        for path in (run / "blobs").rglob("*.safetensors"):
            path.unlink()
        assert replay(run, 2, {}) is None

    @pytest.mark.parametrize("kind", ["centroids", "genome"])
    def test_nor_does_a_reader_use_one(self, undisturbed, tmp_path, kind):
        run = copied(undisturbed, tmp_path)
        name = one_of_every_kind(run)[kind]
        opened = open_run(run)
        for place in flips(run / name, every(run / name)):
            with pytest.raises(StoreError, match="is damaged"):
                opened.archive() if kind == "centroids" else opened.genome((run / name).stem)
            assert place >= 0


def test_children_of_emitters_depend_on_their_parents(undisturbed):
    with RunDirectory.open(undisturbed).journal() as journal:
        found = uses(journal, 4, finished=True)
        asked = list(values(journal.events(kind="emission"), Emission))
    for genome in {parent.genome for emission in asked for parent in emission.parents}:
        rounds = sorted({each.round for each in asked if genome in {one.genome for one in each.parents}})
        many = "s" if len(rounds) > 1 else ""
        told = f"a parent of emitters' children in round{many} {', '.join(map(str, rounds))}"
        assert told in found[genome].dependents
    assert asked
