"""What a run tells of itself while it goes on, and that it comes to the same whether it tells it or not."""

import json
import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.verification import verify
from runs.errors import ConfigError
from runs.launch import launch
from runs.recording import recording
from runs.results.slo.remaining import budgets_of
from runs.resume import resume
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import launched, small
from tests.fixtures.traces import check_trace

FILES = ("execution.metrics=file", "execution.trace=trace.json")


def digests(run):
    with RunDirectory.open(run).journal() as journal:
        return journal.rounds()


def metrics_of(text):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("told") / "run", *FILES)


def test_a_run_that_tells_of_itself_has_the_same_digests(told, undisturbed):
    assert digests(told) == digests(undisturbed)


def test_the_metrics_in_its_folder_agree_with_its_journal(told):
    found = metrics_of((told / "metrics.prom").read_text())
    run = open_run(told)
    last = run.rounds().iloc[-1]
    assert (
        found["plasmodia_round",]
        == found["plasmodia_rounds_total",]
        == found["plasmodia_rounds_planned",]
        == 4
    )
    assert found["plasmodia_qd_score",] == last["qd_score"]
    assert found["plasmodia_coverage_ratio",] == last["coverage"]
    assert found["plasmodia_components_alive",] == last["alive"]
    assert found["plasmodia_births_total",] == run.rounds()["births"].sum()
    assert found["plasmodia_training_loss",] == last["mean_loss"]
    assert found["plasmodia_orders_total", "advance"] == len(run.census())
    timings = run.timings()
    trained = timings[timings["name"] == "train"]["seconds"]
    assert found["plasmodia_order_part_seconds_count", "advance", "train"] == len(trained)
    assert found["plasmodia_order_part_seconds_sum", "advance", "train"] == pytest.approx(trained.sum())
    committed = timings[timings["name"].isin(["store", "write"])]["seconds"].sum()
    assert found["plasmodia_commit_seconds_sum",] == pytest.approx(committed)
    with run.directory.journal() as journal:
        left = budgets_of(journal)
    assert {
        name[1]: value for name, value in found.items() if name[0] == "plasmodia_slo_budget_remaining"
    } == left


def test_its_trace_has_every_order_and_every_commit(told):
    events = json.loads((told / "traces" / "trace.json").read_text())
    assert set(check_trace(events)) == {"driver", "inline"}
    names = [event["name"] for event in events]
    run = open_run(told)
    assert names.count("commit") == len(run.rounds())
    assert names.count("train") == len(run.census())
    assert names.count("emit") == len(run.emitters())


def test_an_ended_run_is_intact_with_these_files_in_it(told):
    open_run(told).directory.check_manifest()
    assert verify(told).problems == ()


def test_who_goes_on_with_a_killed_run_tells_of_the_rest(told, tmp_path):
    run = tmp_path / "run"
    killed(launch_and_die, run, 2, *FILES)
    resume(run, {})
    assert digests(run) == digests(told)
    assert sorted(path.name for path in (run / "traces").iterdir()) == ["trace-2.json", "trace.json"]
    rest = json.loads((run / "traces" / "trace-2.json").read_text())
    assert [event["args"]["round"] for event in rest if event["name"] == "commit"] == [3, 4]
    found = metrics_of((run / "metrics.prom").read_text())
    assert (found["plasmodia_round",], found["plasmodia_rounds_total",]) == (4, 2)


def test_metrics_are_served_while_a_run_goes_on_and_not_afterwards(tmp_path):
    said, seen = [], []

    def look(progress):
        if progress.stage == "rounds":
            url = next(line for line in said if "metrics are at" in line).split()[3]
            with urllib.request.urlopen(url) as answer:
                seen.append((progress.round, metrics_of(answer.read().decode())["plasmodia_round",]))

    launch(small("execution.metrics=prometheus://127.0.0.1:auto"), tmp_path / "run", look, said.append)
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)]
    host, port = said[0].split("//")[1].split("/")[0].split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("execution.metrics=prometheus://127.0.0.1:{port}", "port {port} of 127.0.0.1 is taken"),
        ("execution.trace=otlp://127.0.0.1:1", "no collector listens at 127.0.0.1:1"),
    ],
)
def test_what_cannot_begin_is_told_before_anything_is_written(setting, told, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=told.format(port=port)):
            launch(small(setting.format(port=port)), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_told_by_default():
    with recording(small()) as recorder:
        recorder.happened("lost")
        recorder.ended()
