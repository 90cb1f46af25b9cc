"""slo and export, as they are typed."""

import json
import os
import sqlite3

import pytest
from typer.testing import CliRunner

from runs.cli import app
from runs.results.exported import FRAMES
from tests.fixtures.small_runs import copied
from tests.fixtures.synthetic_run import write_run


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(status, *arguments):
    result = call(*arguments)
    assert result.exit_code == status, result.output
    (line,) = result.stderr.splitlines()
    return line.removeprefix("plasmodia: ")


def altered(run, place, *statements):
    """A copy of a run with other times: a test must not depend on how fast it was."""
    copy = copied(run, place)
    (copy / "manifest.json").unlink()
    with sqlite3.connect(copy / "journal.sqlite") as database:
        for statement in statements:
            database.execute(f"UPDATE timing SET seconds = {statement}")
    database.close()
    return copy


CALM = (
    "0.01 WHERE name IN ('order', 'emit_order', 'store', 'write')",
    "0 WHERE name = 'idle'",
    "20 WHERE name = 'wall'",
)


@pytest.fixture
def calm(undisturbed, tmp_path):
    return altered(undisturbed, tmp_path / "calm", *CALM)


@pytest.fixture
def slow(undisturbed, tmp_path):
    """A run whose orders of round 2 took two minutes each."""
    return altered(undisturbed, tmp_path / "slow", *CALM, "120 WHERE round = 2 AND name = 'order'")


def test_budgets_that_hold_are_a_table_and_status_0(calm):
    result = call("slo", calm)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "objective", "commit", "order", "idle", "lag", "lost", "memory",
    ]  # fmt: skip


def test_a_budget_that_is_spent_is_status_1_and_says_which(slow, tmp_path):
    run = slow
    result = call("slo", run, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["round"] == 4
    assert [each["name"] for each in found["objectives"] if each["spent"]] == ["order"]
    assert result.stderr == (
        f"plasmodia: {run}: the error budget is spent of order (3 of 16 events over 60 s, 99% were to be good)\n"
    )
    assert "spent: order" in call("show", run).stdout
    page = call("report", run, "-o", tmp_path / "page.html")
    assert page.exit_code == 0
    assert "Error budgets of the service-level objectives" in (tmp_path / "page.html").read_text()


def test_objectives_of_ones_own(calm, tmp_path):
    path = tmp_path / "slo.yaml"
    path.write_text(
        "order: {threshold: 0}\n" + "".join(f"{name}: null\n" for name in ("idle", "lag", "lost"))
    )
    result = call("slo", calm, "--config", path)
    assert result.exit_code == 1
    assert "order (16 of 16 events over 0 s" in result.stderr
    assert len(result.stdout.splitlines()) == 4
    path.write_text("ordr: 3\n")
    assert "ordr: unknown key; did you mean order?" in refused(2, "slo", calm, "--config", path)


def test_an_older_run_is_not_measured(tmp_path):
    run = write_run(tmp_path / "run")
    result = call("slo", run)
    assert result.exit_code == 0
    assert result.stdout.count("not measured") == 6
    assert "not measured" in call("show", run).stdout


def test_a_run_is_exported_in_several_ways_at_once(undisturbed, tmp_path):
    result = call(
        "export", undisturbed, "--frames", tmp_path / "frames", "--trace", tmp_path / "t.json",
        "--to", "tensorboard", tmp_path / "logs",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    paths = result.stdout.splitlines()
    assert len(paths) == len(FRAMES) + 2
    assert all(os.path.exists(path) for path in paths)


def test_nonsense_is_one_sentence(undisturbed, tmp_path):
    assert refused(2, "export", undisturbed).startswith(
        "say what is exported: --frames DIR, --to TRACKER DIR or"
    )
    assert "known are tensorboard, wandb, mlflow; did you mean mlflow" in refused(
        2, "export", undisturbed, "--to", "mlflo", tmp_path
    )
    assert "must be a file that ends in .json" in refused(2, "export", undisturbed, "--trace", tmp_path / "t")
    assert refused(2, "slo", tmp_path / "nothing").startswith("there is no folder ")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("metrics=on", 'execution.metrics: must be off, file or prometheus://127.0.0.1:PORT'),
        ("metrics=prometheus://10.0.0.1:80", "metrics are told to this machine alone"),
        ("metrics=prometheus://127.0.0.1:99999", "execution.metrics: must be"),
        ("metrics=fle", "did you mean file?"),
        ("trace=trace.jsn", "did you mean trace.json?"),
        ("trace=../trace.json", "execution.trace: must be off, the name of a file that ends in .json"),
        ("trace=otlp://host", "otlp://HOST:PORT"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_told(setting, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told in refused(2, "launch", "smoke", f"execution.{setting}", "--out", "new")
    assert list(tmp_path.iterdir()) == []
