import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import ConfigError, RunError
from runs.models.fit.folder import TrainingFolder
from tests.fixtures.small_trainings import small


def with_checkpoints(path, losses):
    folder = TrainingFolder(path / "small")
    folder.create(small(path))
    for step, loss in losses.items():
        folder.at(step).mkdir()
        (folder.at(step) / "metrics.json").write_text(json.dumps({"loss": loss}))
    return folder


@given(
    st.dictionaries(st.integers(1, 200), st.none() | st.floats(0, 9), max_size=9),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_the_best_and_the_newest_stay_and_nothing_else(tmp_path_factory, losses, best, newest):
    folder = with_checkpoints(tmp_path_factory.mktemp("folder"), losses)
    evaluated = sorted(step for step, loss in losses.items() if loss is not None)
    folder.retain(best, newest)
    kept = {each.step for each in folder.saved()}
    by_loss = sorted(evaluated, key=lambda step: (losses[step], step))
    assert kept == {*by_loss[:best], *evaluated[-newest:], *sorted(losses)[-1:]}
    assert {path.name for path in (folder.path / "checkpoints").iterdir()} == {
        folder.at(step).name for step in kept
    }
    found = folder.best()
    assert (found and found.step) == (by_loss[0] if by_loss else None)


def test_where_no_folder_can_be_made_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/small cannot be made: .*; choose another out_dir"):
        TrainingFolder(tmp_path / "file" / "small").create(small(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_measurements_that_cannot_be_read_count_as_none(tmp_path):
    folder = with_checkpoints(tmp_path, {1: 0.5, 2: 0.1, 3: 0.2, 4: "NaN"})
    (folder.at(2) / "metrics.json").write_text("{")
    (folder.path / "checkpoints" / "step-9").mkdir()
    (folder.path / "checkpoints" / "step-00000007.partial").mkdir()
    assert [(each.step, each.loss) for each in folder.saved()] == [(1, 0.5), (2, None), (3, 0.2), (4, None)]
    folder.sweep()
    assert not (folder.path / "checkpoints" / "step-00000007.partial").exists()


def test_the_status_is_what_was_reported_last(tmp_path):
    folder = with_checkpoints(tmp_path, {1: 0.5})
    folder.report("diverged", 1, "why")
    assert folder.status() == {
        "state": "diverged",
        "step": 1,
        "reason": "why",
        "best": "step-00000001",
        "loss": 0.5,
    }
    (folder.path / "status.json").unlink()
    assert folder.status()["state"] == "running"


@pytest.mark.parametrize(
    ("text", "told"), [("{", r"status\.json cannot be read"), ("[]", r"status\.json is no JSON object")]
)
def test_a_status_that_cannot_be_read_is_told(text, told, tmp_path):
    folder = with_checkpoints(tmp_path, {})
    (folder.path / "status.json").write_text(text)
    with pytest.raises(RunError, match=told):
        folder.status()
