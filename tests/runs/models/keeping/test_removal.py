import shutil

import pytest

from archive_store import durable
from archive_store.errors import WriteError
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
    (training / "notes").symlink_to(precious)

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
    refused(training, "or no training's config.yaml too; look at it")
    (training / "src").rmdir()
    (training / "checkpoints/notes.txt").touch()
    refused(training, "look at it, and remove it by hand")
    (training / "checkpoints/notes.txt").unlink()
    (training / "config.yaml").unlink()
    refused(training, "or no training's config.yaml")
