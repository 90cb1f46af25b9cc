import dataclasses
import math
import shutil
import sqlite3
import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from archive_store.encoding import encode_genome
from archive_store.errors import BlobError, ChainError, JournalError, RunDirectoryError, StoreError
from archive_store.journal.journal import Journal
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from qd.archive import Archive
from qd.canonical import sha256
from qd.measures import MEASURES
from qd.records import Outcome, read
from tests.fixtures.synthetic_run import write_run


@pytest.fixture
def own(synthetic, tmp_path):
    """A copy of the made-up run that a test may damage."""
    return shutil.copytree(synthetic, tmp_path / "own")


def replayed(run, until=None) -> Archive:
    """The archive that the run's competitions give when they are held again."""
    archive = Archive(run.centroids())
    with run.directory.journal() as journal:
        archive.restore(read(Outcome, event.value) for event in journal.events(kind="outcome", until=until))
    return archive


def test_config_and_environment_are_there(run):
    assert run.config["rounds"] == 12
    assert run.environment["python"] == "3.11"


def test_a_run_shows_a_summary_of_itself(run):
    assert repr(run).endswith("run': 12 of 12 rounds, finished, task digits, family pseudopods, seed 0)")


def test_rounds_agree_with_the_archive_held_again(run):
    rounds = run.rounds().set_index("round")
    assert rounds.index.tolist() == list(range(1, 13))
    for round in (1, 6, 12):
        view = replayed(run, round).view()
        assert rounds.loc[round, "coverage"] == view.coverage
        assert rounds.loc[round, "qd_score"] == view.qd_score
    assert rounds.loc[12, "digest"] == run.digest() == run.digest(12)


def test_coverage_and_qd_score_never_fall(run):
    rounds = run.rounds()
    assert (rounds["coverage"].diff().dropna() >= 0).all()
    assert (rounds["qd_score"].diff().dropna() >= 0).all()


def test_the_frames_agree_with_one_another(run):
    census, records, rounds = run.census(), run.records(), run.rounds()
    assert len(census) == 4 * 12
    assert (
        records.groupby(["organism", "round"]).size().tolist()
        == census.sort_values(["organism", "round"])["alive"].tolist()
    )
    assert census.groupby("round")["alive"].sum().tolist() == rounds["alive"].tolist()
    happened = run.decisions().query("happens")
    assert (happened["kind"] == "birth").sum() == rounds["births"].sum()
    assert (happened["kind"] == "death").sum() == rounds["deaths"].sum()
    newborn = happened.query("kind == 'birth'").set_index("component")
    lives = records.query("born > 0").drop_duplicates("component").set_index("component")
    assert set(lives.index) <= set(newborn.index)
    assert (newborn.loc[lives.index, "lineage"] == lives["lineage"]).all()


@pytest.mark.parametrize("round", [None, 3, 0])
def test_elites_are_those_of_the_archive_held_again(run, round):
    elites, view = run.elites(round), replayed(run, round).view()
    assert elites["cell"].tolist() == list(view.cells)
    assert elites["component"].tolist() == [str(elite.component) for elite in view.elites]
    assert elites["objective"].tolist() == [elite.objective for elite in view.elites]


OWN = ("compute_intensity", "mine:norm", "gradient_flow", "their.module:reach", "attention_span")
OWN_NAMES = ("compute_intensity", "norm", "gradient_flow", "reach", "attention_span")


def test_a_configuration_without_measures_means_the_built_in_ones(run):
    assert "measures" not in run.config
    assert run.measures == MEASURES


def test_measures_of_ones_own_are_called_by_their_names(run, tmp_path):
    own = open_run(write_run(tmp_path / "run", measures=OWN))
    assert own.measures == OWN_NAMES
    named = {
        f"{prefix}{built_in}": f"{prefix}{name}"
        for built_in, name in zip(MEASURES, OWN_NAMES, strict=True)
        for prefix in ("", "out_of_range_", "msa_")
    }
    built_in_pairs, pairs = (combinations(names, 2) for names in (MEASURES, OWN_NAMES))
    named |= {
        f"correlation_{a}_{b}": f"correlation_{c}_{d}"
        for (a, b), (c, d) in zip(built_in_pairs, pairs, strict=True)
    }
    for frame in ("rounds", "records", "elites", "validity"):
        found, expected = getattr(own, frame)(), getattr(run, frame)().rename(columns=named)
        pd.testing.assert_frame_equal(found.assign(digest=""), expected.assign(digest=""))
    assert own.archive().stats == run.archive().stats


@pytest.mark.parametrize(
    "measures",
    [None, 5, [], "ab", MEASURES[:1], list("abcdefghi"), [*MEASURES[:4], "mine:attention_span"]],
)
def test_measures_that_are_not_two_to_eight_are_refused(run, measures):
    damaged = dataclasses.replace(run, config=run.config | {"measures": measures})
    message = r"config.yaml must name 2 to 8 different measures, not .*; restore it"
    with pytest.raises(StoreError, match=message):
        damaged.records()


@pytest.mark.parametrize("count", [2, 4, 6])
def test_a_configuration_of_other_measures_than_the_journals_is_refused(run, count):
    damaged = dataclasses.replace(run, config=run.config | {"measures": list("abcdef")[:count]})
    message = (
        f"the journal has 5 measures and the configuration names {count}: a, b.*; restore the configuration"
    )
    for frame in ("rounds", "records", "elites", "validity"):
        with pytest.raises(StoreError, match=message):
            getattr(damaged, frame)()
    with pytest.raises(
        StoreError, match=f"has centroids of 5 measures, and its configuration names {count}; "
    ):
        damaged.centroids()


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_run_of_any_number_of_measures_is_read(count, tmp_path):
    names = tuple(f"mine:m{number}" for number in range(count))
    run = open_run(write_run(tmp_path / "run", organisms=2, rounds=5, cells=16, measures=names))
    short = [f"m{number}" for number in range(count)]
    assert list(run.measures) == short
    elites, archive = run.elites(), run.archive()
    assert (archive.measure_dim, run.centroids().shape) == (count, (16, count))
    np.testing.assert_array_equal(archive.data("measures"), elites[short])
    np.testing.assert_array_equal(archive.data("objective"), elites["objective"])
    outcomes = [event.value["candidate"] for event in run._events("outcome")]
    behaviours = {tuple(candidate["behaviour"]) for candidate in outcomes}
    assert set(elites[short].itertuples(index=False, name=None)) <= behaviours
    raw = [record["measures"] for event in run._events("census") for record in event.value["records"]]
    np.testing.assert_array_equal(run.records()[short], raw)
    clipped = [event.value["out_of_range"] for event in run._events("summary")]
    np.testing.assert_array_equal(run.rounds()[[f"out_of_range_{name}" for name in short]], clipped)
    pairs = [name for name in run.validity().columns if name.startswith("correlation_")]
    assert pairs == [f"correlation_{a}_{b}" for a, b in combinations(short, 2)]
    assert run.validity()["kmo"].isna().all() == (count == 2)


def test_validity_begins_with_calibration(run):
    validity = run.validity()
    assert validity["round"].tolist() == [0, 4, 8, 12]
    assert validity["kmo"].tolist()[0] == run.calibration()["verdict"]["kmo"]
    assert (validity["kmo_low"] < validity["kmo_high"]).all()


def test_timings_are_rows(run):
    timings = run.timings()
    assert set(timings["name"]) == {"train", "archive"}
    assert math.isnan(timings.iloc[-1]["organism"])


def test_centroids_are_points_of_the_unit_cube(run):
    centroids = run.centroids()
    assert centroids.shape == (64, 5)
    assert centroids.dtype == np.float64
    assert (centroids >= 0).all()
    assert (centroids <= 1).all()


@pytest.mark.parametrize("round", [None, 5, 0])
def test_the_ribs_archive_is_the_one_of_the_run(run, round):
    found, expected = run.archive(round), replayed(run, round).to_ribs()
    assert found.stats.num_elites == expected.stats.num_elites
    a, b = found.data(return_type="pandas"), expected.data(return_type="pandas")
    a, b = (frame.sort_values("index").reset_index(drop=True) for frame in (a, b))
    names = ["index", "solution", "objective", *(name for name in b if name.startswith("measures"))]
    for name in names:
        np.testing.assert_array_equal(a[name].to_numpy(), b[name].to_numpy())


def test_a_handle_leads_to_the_genome(run):
    archive = run.archive(fields=("round", "genome", "gene_rank"))
    elites = run.elites().set_index("handle")
    data = archive.data()
    for handle, digest, rank in zip(data["solution"], data["genome"], data["gene_rank"], strict=True):
        genome = run.genome(handle)
        assert elites.loc[handle, "genome"] == digest == sha256(encode_genome(genome))
        (name, (u, v)), *rest = run.factors(digest).items()
        assert (name, u.shape, v.shape, rest) == ("qk", (8, rank), (rank, 8), [])


def test_a_pyribs_user_goes_on_with_the_archive(run):
    archive = run.archive()
    best = archive.best_elite
    status = archive.add([9999], [best["objective"] + 1], [best["measures"]], round=[13])
    assert status["status"].tolist() == [1]
    assert archive.best_elite["solution"] == 9999
    plain = run.archive(fields=())
    assert plain.add([9999], [0.0], [best["measures"]])["status"].tolist() == [0]


def test_unknown_fields_are_named(run):
    with pytest.raises(StoreError, match="elites have no column 'fitness'; known are cell, component"):
        run.archive(fields=("round", "fitness"))


@pytest.mark.parametrize("handle", [-1, 10_000])
def test_unknown_handles_are_named(run, handle):
    with pytest.raises(StoreError, match=f"has no handle {handle}; its handles go up to"):
        run.genome(handle)


@pytest.mark.parametrize("read_it", ["elites", "archive", "digest"])
def test_rounds_that_were_not_committed_are_named(run, read_it):
    with pytest.raises(JournalError, match="has no round 13; 0 to 12 are committed"):
        getattr(run, read_it)(13)


def test_a_live_run_is_followed_and_not_written_to(tmp_path):
    path = write_run(tmp_path / "run", rounds=2, finished=False)
    with RunDirectory.open(path).journal(readonly=False) as writer:
        writer.put_meta("a", "b")
        run = open_run(path)
        assert run.rounds()["round"].tolist() == [1, 2]
        writer.incident("2025-01-01T00:00:00Z", "resume", {})
        code = (
            "import sys; from archive_store.reading import open_run; r = open_run(sys.argv[1]);"
            "print(r.digest(), len(r.rounds()), len(r.records()), len(r.elites()))"
        )
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
        assert found.stdout.split()[:2] == [run.digest(), "2"]


def test_a_run_before_its_calibration_has_empty_frames(tmp_path):
    directory = RunDirectory.create(tmp_path / "run", "seed: 0", {})
    with pytest.raises(RunDirectoryError, match="has no journal yet"):
        open_run(directory.path)
    Journal.create(directory.journal_path).close()
    run = open_run(directory.path)
    for name in ("rounds", "census", "records", "decisions", "outcomes", "elites", "validity", "timings"):
        assert len(getattr(run, name)()) == 0
    with pytest.raises(JournalError, match="is not calibrated yet"):
        run.centroids()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="is no run"):
        open_run(str(tmp_path))


def alter(path, statement):
    database = sqlite3.connect(path / "journal.sqlite")
    database.execute(statement)
    database.commit()
    database.close()


def test_a_tampered_objective_is_named_by_round_and_event(own):
    alter(
        own,
        "UPDATE event SET body = replace(body, '\"objective\":0.', '\"objective\":1.') "
        "WHERE round = 5 AND kind = 'outcome'",
    )
    with pytest.raises(ChainError, match=r"round 5, event \d+ \(outcome\) is not as it was written"):
        open_run(own)


def test_a_change_that_no_digest_covers_is_found_by_the_manifest(own):
    alter(own, "UPDATE timing SET seconds = 0")
    with pytest.raises(RunDirectoryError, match=r"journal.sqlite was altered"):
        open_run(own)


def test_a_damaged_blob_is_found_when_it_is_read(own):
    run = open_run(own)
    digest = run.elites()["genome"][0]
    run.directory.blobs.path(digest).write_bytes(b"x")
    with pytest.raises(BlobError, match=f"{digest}.safetensors is damaged"):
        run.genome(digest)


def test_an_elite_in_a_foreign_cell_is_refused(own):
    (own / "manifest.json").unlink()
    cell = "json_extract(body, '$.cell')"
    for other, told in (
        (f"({cell} + 1) % 64", "has an elite that is not nearest to its cell's centroid"),
        (f"{cell} + 1000", "has an elite in cell 10.. of an archive of 64 cells; restore its journal"),
    ):
        alter(
            own,
            f"UPDATE event SET body = replace(body, '\"cell\":' || {cell}, '\"cell\":' || ({other})) "
            "WHERE kind = 'outcome'",
        )
        with pytest.raises(StoreError, match=told):
            open_run(own).archive()


def test_centroids_of_another_shape_are_refused(own):
    (own / "manifest.json").unlink()
    run = open_run(own)
    genome = run.elites()["genome"][0]
    wanted = run.calibration()["centroids"]
    alter(own, f"UPDATE event SET body = replace(body, '{wanted}', '{genome}') WHERE kind = 'calibration'")
    with pytest.raises(StoreError, match=r"encode something other than centroids"):
        run.centroids()


def test_reading_does_not_load_pandas_or_ribs_until_asked():
    code = "import sys, archive_store.reading; print({'pandas', 'ribs', 'torch', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_ranges_map_raw_measures_as_the_archive_does(run):
    merged = run.elites().merge(run.records(), on=["component", "round"], suffixes=("", "_raw"))
    units, _ = run.ranges().behaviours(merged[[f"{name}_raw" for name in MEASURES]])
    np.testing.assert_allclose(units, merged[list(MEASURES)], atol=1e-12)


def test_a_run_that_is_not_calibrated_has_no_ranges(own):
    run = open_run(own)
    alter(own, "DELETE FROM event WHERE kind = 'calibration'")
    with pytest.raises(JournalError, match="is not calibrated yet; wait for its round 0"):
        run.ranges()


def test_the_score_is_called_what_the_task_calls_it(own):
    run = open_run(own)
    assert run.score_name() == "score"
    alter(own, "INSERT INTO meta VALUES ('score_name', 'R2')")
    assert run.score_name() == "R2"


def test_records_have_raw_measures_and_elites_unit_ones(run):
    ranges = run.calibration()["ranges"]
    record = run.records().iloc[-1]
    assert set(MEASURES) <= set(record.index)
    elites = run.elites()
    assert elites[list(MEASURES)].to_numpy().min() >= 0
    assert elites[list(MEASURES)].to_numpy().max() <= 1
    merged = elites.merge(run.records(), on=["component", "round"], suffixes=("", "_raw"))
    raw = merged[[f"{name}_raw" for name in MEASURES]].to_numpy()
    low, high = np.array(ranges["low"]), np.array(ranges["high"])
    np.testing.assert_allclose(np.clip((raw - low) / (high - low), 0, 1), merged[list(MEASURES)], atol=1e-12)
