import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score
from typer.testing import CliRunner

from analysis.rendering import NothingToDraw
from archive_store.errors import BlobError, StoreError
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs import tasks
from runs.cli import app
from runs.config.reader import read_config
from runs.errors import RunError
from runs.results import predictions as predicting
from runs.results.predictions import predictions
from runs.results.summary import summarise
from runs.tasks.signals import build as build_signals
from tests.fixtures.small_runs import copied, launched


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A small run on a task of the user's."""
    return launched(
        tmp_path_factory.mktemp("own") / "run", "organism.count=2", "task.name=tests.fixtures.walks:walks"
    )


@pytest.fixture
def changed(signals, tmp_path):
    """A copy of the run of signals as it is before its end, of which everything may be changed."""
    run = copied(signals, tmp_path)
    (run / "manifest.json").unlink()
    return run


def config_of(run):
    return read_config(RunDirectory.open(run).config_path)


def altered(run, statement):
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute(statement)
    database.close()
    return open_run(run)


def flat(*arrays):
    return [array.astype(np.float64).ravel() for array in arrays]


def test_predictions_are_those_whose_errors_the_run_reports(signals, monkeypatch):
    monkeypatch.setattr(predicting, "EXAMPLES", 1000)
    summary, found = summarise(signals), predictions(open_run(signals))
    assert (found.organism, found.round) == (summary.best_organism, 4)
    assert [kind.name for kind in found.kinds] == ["sine", "spiral"]
    for kind in found.kinds:
        assert kind.truth.shape == kind.predicted.shape == (160, 8, 1)
        squares = np.square(kind.predicted.astype(np.float64) - kind.truth)
        assert squares.mean() == summary.test_metrics[f"{kind.name}_mse"]
        assert kind.error == pytest.approx(np.sqrt(squares).mean(), rel=1e-12)
        assert kind.r2 == pytest.approx(r2_score(*flat(kind.truth, kind.predicted)), rel=1e-9)


def test_simple_forecasts_of_the_same_examples_stand_beside_them(signals, monkeypatch):
    monkeypatch.setattr(predicting, "EXAMPLES", 1000)
    test = tasks.load(config_of(signals).task).test
    for label, kind in enumerate(predictions(open_run(signals)).kinds):
        again, linear = kind.forecasts
        assert (again.name, linear.name) == ("last value again", "linear")
        np.testing.assert_array_equal(again.predicted, test.inputs[test.labels == label])
        for each in kind.forecasts:
            assert each.r2 == pytest.approx(r2_score(*flat(kind.truth, each.predicted)), rel=1e-9)


def test_the_first_test_examples_of_every_kind_are_shown(signals):
    found, test = predictions(open_run(signals)), tasks.load(config_of(signals).task).test
    for label, kind in enumerate(found.kinds):
        np.testing.assert_array_equal(kind.truth, test.targets[test.labels == label][:3])


@pytest.mark.long
def test_without_labels_all_examples_are_of_one_kind_and_errors_are_distances(own):
    (kind,) = predictions(open_run(own), own_code=True).kinds
    assert kind.name == "walks"
    assert kind.truth.shape == kind.predicted.shape == (3, 6, 3)
    assert kind.error == pytest.approx(summarise(own).test_metrics["position_error"], rel=1e-12)


def test_the_newest_checkpoint_is_taken_and_the_best_of_its_round(changed):
    run = altered(changed, "DELETE FROM state WHERE round > 2")
    census = run.census()
    then = census[census["round"] == 2].set_index("organism")["validation_score"]
    found = predictions(run)
    assert (found.organism, found.round) == (then.idxmax(), 2)
    altered(changed, f"DELETE FROM state WHERE organism = {found.organism}")
    assert predictions(run).organism == 1 - found.organism


def test_it_needs_no_device_of_the_run(changed):
    path = changed / "config.yaml"
    path.write_text(path.read_text().replace("device: cpu", "device: cuda"))
    assert config_of(changed).execution.device == "cuda"
    assert len(predictions(open_run(changed)).kinds) == 2


class TestRefusals:
    def test_a_task_of_classes_has_no_sequences(self, undisturbed):
        message = "run has no predictions to draw: its task 'digits' asks for no sequences of real numbers"
        with pytest.raises(NothingToDraw, match=message):
            predictions(open_run(undisturbed))

    def test_nor_has_a_task_of_single_values(self, tmp_path):
        run = launched(tmp_path / "run", "task.name=sine", "rounds=1", "organism.count=1")
        with pytest.raises(NothingToDraw, match="its task 'sine' asks for no sequences of real numbers"):
            predictions(open_run(run))

    def test_nor_has_one_that_reads_a_file_which_is_not_opened(self, changed):
        path = changed / "config.yaml"
        text = path.read_text().replace(
            "name: signals\n  path: null", "name: text\n  path: /there/is/no/such/file"
        )
        path.write_text(text)
        assert config_of(changed).task.path is not None
        with pytest.raises(NothingToDraw, match="its task 'text' asks for no sequences of real numbers"):
            predictions(open_run(changed))

    def test_code_of_the_users_is_not_imported_unless_it_may_be(self, own, monkeypatch):
        def fail(*given):
            raise AssertionError(f"imported {given}")

        monkeypatch.setattr("runs.config.import_path._module", fail)
        message = (
            r"need code of its own \(task.name=tests.fixtures.walks:walks\), which plot does not import; "
            "launch and resume do, and draw them in the end"
        )
        with pytest.raises(NothingToDraw, match=message):
            predictions(open_run(own))

    def test_a_run_without_a_state_is_to_be_looked_at_later(self, changed):
        run = altered(changed, "DELETE FROM state")
        with pytest.raises(
            NothingToDraw, match=r"keeps no state .*; look again after execution.checkpoint_every"
        ):
            predictions(run)

    def test_other_data_are_not_predicted(self, signals, monkeypatch):
        def other(options, corpus, build=build_signals):
            task = build(options, corpus)
            test = replace(task.test, inputs=task.test.inputs[::-1].copy())
            return replace(task, test=test)

        monkeypatch.setattr("runs.tasks.signals.build", other)
        with pytest.raises(RunError, match="was launched with other settings or data: data"):
            predictions(open_run(signals))

    def test_a_damaged_state_is_named(self, changed):
        run = open_run(changed)
        with run.directory.journal() as journal:
            for state in journal.states():
                run.directory.blobs.path(state.digest).write_bytes(b"damaged")
        with pytest.raises(BlobError, match="is damaged"):
            predictions(run)

    def test_so_is_a_calibration_without_an_interface(self, changed):
        kind = "kind = 'calibration'"
        run = altered(
            changed, f"UPDATE event SET body = replace(body, '\"interface\"', '\"face\"') WHERE {kind}"
        )
        with pytest.raises(StoreError, match="is no calibration of this version: interface is missing"):
            predictions(run)


class TestCommand:
    """`plasmodia plot`, in this process."""

    def plot(self, *arguments):
        return CliRunner().invoke(app, ["plot", *map(str, arguments)])

    def test_it_draws_experts_on_signals(self, signals):
        result = self.plot(signals, "--kind", "predictions", "--kind", "utilisation")
        assert result.exit_code == 0, result.stderr
        paths = [signals / "plots" / f"{kind}.png" for kind in ("predictions", "utilisation")]
        assert result.stdout.split() == [str(path) for path in paths]
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)

    @pytest.mark.parametrize("kind", ["predictions", "utilisation"])
    def test_it_refuses_pseudopods_on_digits_in_a_sentence(self, kind, undisturbed):
        result = self.plot(undisturbed, "--kind", kind)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"plasmodia: {undisturbed} has no {kind} to draw: ")
        assert len(result.stderr.splitlines()) == 1

    def test_it_refuses_the_users_own_code(self, own):
        result = self.plot(own, "--kind", "predictions")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "which plot does not import" in result.stderr
