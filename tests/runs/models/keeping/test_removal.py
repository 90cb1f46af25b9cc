import shutil
from pathlib import Path

import pytest

from archive_store import durable
from archive_store.errors import LockError, WriteError
from archive_store.lock import held
from runs.errors import ConfigError
from runs.models.keeping import removal
from runs.models.keeping.removal import removable, remove
from tests.fixtures.small_models import kept, trained


@pytest.fixture
def training(tmp_path):
    return trained(tmp_path / "training", (1.0, 2.0))


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_checkpoint_or_a_training_is_removed_and_nothing_else(training, tmp_path):
    other = trained(tmp_path / "other", (1.0,))
    before = contents(other)
    step = training / "checkpoints/step-00000001"
    assert removable(step) == sum(path.stat().st_size for path in step.iterdir())
    remove(step)
    assert [path.name for path in (training / "checkpoints").iterdir()] == ["step-00000002"]
    remove(training)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
    assert contents(other) == before


def test_it_is_gone_at_once_and_what_links_lead_to_stays(training, tmp_path, monkeypatch):
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    (training / "plots").mkdir()
    (training / "plots/notes").symlink_to(precious)

    def stopped(path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as context:
        context.setattr(shutil, "rmtree", stopped)
        with pytest.raises(WriteError, match="Input/output error"):
            remove(training)
    assert not training.exists()
    (left,) = (path for path in tmp_path.iterdir() if path.name.endswith(removal.GOING))
    durable.rename(left, training)
    remove(training)
    assert precious.read_text() == "precious"


def refused(path, said):
    before = contents(path.parent)
    with pytest.raises(ConfigError, match=said):
        remove(path)
    assert contents(path.parent) == before


def test_runs_links_and_other_folders_are_refused(training, undisturbed, tmp_path):
    refused(undisturbed, "is a run: remove its folder by hand")
    refused(tmp_path, "is no checkpoint and no training; only")
    refused(tmp_path / "nowhere", "is no checkpoint and no training")
    (tmp_path / "link").symlink_to(training)
    refused(tmp_path / "link", "is a link, and only folders are deleted")


def test_what_only_looks_like_one_is_refused(training, tmp_path):
    checkpoint = kept(tmp_path / "own")
    (checkpoint / "model.safetensors").unlink()
    refused(checkpoint, "has a list of digests, but no model")
    (training / "src").mkdir()
    refused(training, "holds src, which no training has; take it out")
    (training / "src").rmdir()
    (training / "config.yaml").unlink()
    refused(training, "but no training's config.yaml; look at it")


@pytest.mark.parametrize(
    "name",
    [
        "train.py",
        ".git",
        "checkpoints/notes.txt",
        "checkpoints/step-5",
        "checkpoints/step-00000001/notes.txt",
    ],
)
def test_what_somebody_put_into_a_training_is_not_removed(name, training):
    (training / name).touch()
    refused(training, "which no training has; take it out")
    (training / name).unlink()
    remove(training)


def test_what_somebody_put_into_a_checkpoint_is_not_removed(tmp_path):
    checkpoint = kept(tmp_path / "own")
    (checkpoint / "thesis.tex").touch()
    refused(checkpoint, r"holds thesis\.tex, which no checkpoint has")


def test_all_that_a_training_leaves_is_removed(training):
    for name in ("log.jsonl", "status.json", "status.json.0a.partial", "lock"):
        (training / name).touch()
    for name in ("plots", "checkpoints/step-00000001-plots", "checkpoints/step-00000003.partial"):
        (training / name).mkdir()
        (training / name / "dashboard.png").touch()
    remove(training)
    assert not training.exists()


def test_what_is_being_trained_is_not_removed(training):
    before = contents(training)
    with held(training):
        for path in (training, training / "checkpoints/step-00000001"):
            with pytest.raises(LockError, match="is being written by process"):
                remove(path)
    assert contents(training) == before


def test_a_folder_is_removed_by_a_dot_and_through_links_above_it(training, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(training / "checkpoints/step-00000001")
    remove(Path())
    remove(tmp_path / "link/training/checkpoints/step-00000002")
    assert contents(training / "checkpoints") == []
