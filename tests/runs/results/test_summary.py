import json
import sqlite3

import pytest

from archive_store.errors import JournalError, RunDirectoryError
from archive_store.reading import open_run
from runs.errors import RunError
from runs.results.rows import table
from runs.results.summary import as_json, hints, summarise
from tests.fixtures.synthetic_run import write_run

PROMISED = {
    "rounds", "coverage", "qd_score", "best_objective", "mean_objective", "best_organism", "best_accuracy",
    "score_name", "test_metrics", "kmo", "kmo_verdict", "births", "deaths", "quarantines", "digest",
    "wall_seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def live(tmp_path):
    return write_run(tmp_path / "live", rounds=3, finished=False)


def execute(path, statement, *values):
    with sqlite3.connect(path / "journal.sqlite") as database:
        database.execute(statement, values)
    database.close()


def test_the_summary_agrees_with_the_frames_of_the_run(path):
    summary, run = summarise(path), open_run(path)
    last = run.rounds().iloc[-1]
    for name in ("coverage", "qd_score", "best_objective", "mean_objective", "digest"):
        assert getattr(summary, name) == last[name]
    assert summary.rounds == last["round"] == 12
    decisions = run.decisions()
    happened = decisions[decisions["happens"].astype(bool)]
    assert summary.births == (happened["kind"] == "birth").sum() > 0
    assert summary.deaths == (happened["kind"] == "death").sum() > 0
    census = run.census()
    final = census[census["round"] == 12].set_index("organism")
    assert summary.best_organism == final["validation_score"].idxmax()
    assert summary.best_accuracy == final["test_score"][summary.best_organism]
    checks = run.validity()
    assert (summary.kmo, summary.kmo_verdict) == (checks["kmo"].iloc[0], checks["status"].iloc[0])
    assert list(summary.kmo_reasons) == run.calibration()["verdict"]["reasons"] != []
    assert (summary.kmo_last, summary.kmo_last_verdict) == (checks["kmo"].iloc[-1], checks["status"].iloc[-1])


def test_json_has_the_promised_keys_and_null_for_what_is_not_known(path):
    values = json.loads(as_json(summarise(path), plots=["a.png"]))
    assert set(values) >= PROMISED
    assert values["wall_seconds"] is None
    assert values["plots"] == ["a.png"]


def test_time_and_the_name_of_the_score_come_from_the_drivers_notes(live):
    execute(live, "INSERT INTO meta VALUES ('score_name', 'R2')")
    for round, seconds in ((1, 1.5), (2, 2.25)):
        columns = "(round, organism, name, seconds, worker)"
        execute(live, f"INSERT INTO timing {columns} VALUES (?, NULL, 'wall', ?, 'driver')", round, seconds)
    summary = summarise(live)
    assert summary.wall_seconds == 3.75
    assert summary.score_name == "R2"
    assert "its test R2" in table(summary)


def test_a_tasks_own_metrics_of_the_best_organism_are_shown_in_their_order(live):
    best = summarise(live).best_organism
    given = (
        'CASE organism WHEN ? THEN json(\'[["sine_mse", 0.000123456], ["circle_mse", "NaN"]]\') '
        "ELSE json('[[\"sine_mse\", 7]]') END"
    )
    execute(
        live, f"UPDATE event SET body = json_set(body, '$.test_metrics', {given}) WHERE kind = 'census'", best
    )
    summary = summarise(live)
    assert list(summary.test_metrics.items()) == [("sine_mse", 0.000123456), ("circle_mse", None)]
    lines = [" ".join(line.split()) for line in table(summary).splitlines()]
    place = lines.index("its test sine_mse 0.0001235")
    assert lines[place - 1].startswith("its test score")
    assert lines[place + 1] == "its test circle_mse -"
    assert json.loads(as_json(summary))["test_metrics"] == {"sine_mse": 0.000123456, "circle_mse": None}


def test_a_live_run_can_be_shown(live):
    assert summarise(live).rounds == 3


def test_a_run_that_was_only_calibrated_has_nothing_to_show(tmp_path):
    path = write_run(tmp_path / "run", rounds=0, finished=False)
    with pytest.raises(RunError, match=r"has no finished round yet; .*plasmodia resume"):
        summarise(path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"is no run"):
        summarise(tmp_path)


def test_a_damaged_journal_is_refused(live):
    (live / "journal.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(JournalError):
        summarise(live)


def test_who_competes_is_counted_and_a_reason_that_keeps_most_away_is_told():
    assert list(hints(30, {"immature": 20, "useless": 9, "non-finite": 0})) == []
    (told,) = hints(3, {"immature": 2, "useless": 30, "non-finite": 0})
    assert told.startswith(
        "30 of 35 components are useless (the 95 % bound of its assay is not above 0); give"
    )


def test_the_counts_are_those_of_the_last_rounds_competitions(undisturbed):
    summary, run = summarise(undisturbed), open_run(undisturbed)
    outcomes = run.outcomes().query("round == @summary.rounds")
    lived = outcomes["component"].isin(run.records()["component"])
    assert summary.competing == lived.sum() > 0
    assert summary.emitters.keys() == set(run.emitters()["emitter"])
    assert sum(row["children"] for row in summary.emitters.values()) == run.rounds()["children"].sum() > 0
    assert summary.held_out["qd_score"] == run.rounds()["held_out_qd_score"].iloc[-1]
    assert summary.flops["emitters"] == run.emitters()["flops"].sum()
    last = run.records().query("round == @summary.rounds")
    assert summary.competing + sum(summary.ineligible.values()) == len(last)
    assert summary.ineligible["immature"] == (last["age"] < run.config["objective"]["maturity"]).sum()
    assert (summary.seed, summary.arm, summary.task, summary.family) == (0, "archive", "digits", "pseudopods")
    assert summary.measures == run.measures
    assert summary.useful <= summary.assayed
    assert summary.training_loss == run.calibration()["outlook"]["loss"]


def test_a_run_whose_calibration_is_lost_is_told(live):
    execute(live, "DELETE FROM event WHERE kind = 'calibration'")
    with pytest.raises(RunError, match="has not one calibration"):
        summarise(live)


@pytest.mark.parametrize("value", ['"text"', "[]", "null", '"NaN"'])
def test_counts_of_flops_that_are_no_numbers_are_not_counted(live, value):
    with sqlite3.connect(live / "journal.sqlite") as database:
        (body,) = database.execute("SELECT body FROM event WHERE kind = 'summary' AND round = 3").fetchone()
    database.close()
    body = json.dumps(json.loads(body) | {"flops_training": json.loads(value)})
    execute(live, "UPDATE event SET body = ? WHERE kind = 'summary' AND round = 3", body)
    assert summarise(live).flops["training"] == 0.0
