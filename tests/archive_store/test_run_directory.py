import json

import pytest
import yaml

from archive_store import durable
from archive_store.errors import JournalError, NoRunError, RunDirectoryError, StoreError
from archive_store.journal.chain import round_digest
from archive_store.journal.journal import BASE, Journal
from archive_store.run_directory import Manifest, RunDirectory
from tests.fixtures.synthetic_run import write_run

CONFIG = {
    "name": "x",
    "seed": 3,
    "training": {"learning_rate": 1e-5},
    "window": None,
    "checkpoints": (0.05, 1.0),
}


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "out" / "x", yaml.safe_dump(CONFIG), {"python": "3.11"})


@pytest.fixture
def finished(run):
    with Journal.create(run.journal_path) as journal:
        journal.put_meta(BASE, "{}")
        digest = round_digest("{}", [])
        journal.write_round(0, [], {}, [], digest)
        journal.finish()
    run.blobs.put(b"blob")
    run.write_manifest(digest)
    return run


def test_a_new_run_has_its_config_and_environment(run):
    assert sorted(path.name for path in run.path.iterdir()) == ["blobs", "config.yaml", "environment.json"]
    assert run.config() == CONFIG | {"checkpoints": [0.05, 1.0]}
    assert run.environment() == {"python": "3.11"}
    assert RunDirectory.open(run.path) == run
    assert not run.finished()


def test_every_path_lies_in_the_folder(run):
    paths = [run.config_path, run.environment_path, run.journal_path, run.manifest_path, run.plots_path]
    paths += [run.report_path, run.log_path]
    assert [path.relative_to(run.path).as_posix() for path in paths] == [
        "config.yaml", "environment.json", "journal.sqlite", "manifest.json", "plots", "report.html",
        "log.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("make", ["mkdir", "touch"])
def test_whatever_exists_is_refused_and_left_alone(tmp_path, make):
    getattr(tmp_path / "x", make)()
    with pytest.raises(RunDirectoryError, match="x exists already; choose another folder"):
        RunDirectory.create(tmp_path / "x", yaml.safe_dump(CONFIG), {})
    assert [path.name for path in tmp_path.rglob("*")] == ["x"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="cannot be made: Not a directory; choose another"):
        RunDirectory.create(tmp_path / "file" / "x", yaml.safe_dump(CONFIG), {})


def test_recovery_removes_what_is_half_written_and_makes_names_durable(run, monkeypatch):
    folder = run.blobs.path(run.blobs.put(b"x")).parent
    kept = {path for path in run.path.rglob("*") if path.is_file()}
    for place in (run.path, folder):
        (place / f"half.99{durable.PARTIAL}").write_bytes(b"ha")
    synchronised = []
    monkeypatch.setattr(durable, "sync_directory", synchronised.append)
    run.recover()
    assert {path for path in run.path.rglob("*") if path.is_file()} == kept
    assert synchronised == [run.path.parent, run.path, run.blobs.root, folder]


def test_no_folder_is_no_run(tmp_path):
    with pytest.raises(NoRunError, match=r"there is no folder .*none"):
        RunDirectory.open(tmp_path / "none")


def test_a_folder_without_a_config_is_no_run(tmp_path):
    with pytest.raises(NoRunError, match=r"is no run: it has no config.yaml"):
        RunDirectory.open(tmp_path)


def test_a_run_without_its_configuration_is_one(run):
    run.config_path.unlink()
    run.journal_path.touch()
    with pytest.raises(RunDirectoryError, match=r"config.yaml is missing; restore it from a copy") as error:
        RunDirectory.open(run.path)
    assert not isinstance(error.value, NoRunError)


def test_the_training_of_a_model_on_its_own_is_no_run(run):
    (run.path / "checkpoints").mkdir()
    with pytest.raises(
        NoRunError, match="is no run, but the training of a model on its own; look at it with"
    ):
        RunDirectory.open(run.path)


def test_before_calibration_there_is_no_journal(run):
    with pytest.raises(RunDirectoryError, match="has no journal yet; wait until calibration"):
        run.journal()


def test_the_journal_opens_for_reading_unless_asked(finished):
    with finished.journal() as journal, pytest.raises(JournalError, match="readonly"):
        journal.put_meta("a", "b")
    with finished.journal(readonly=False) as journal:
        journal.put_meta("a", "b")


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"damaged")])
def test_a_run_is_not_ended_without_the_genomes_of_its_elites(harm, tmp_path):
    run = RunDirectory(write_run(tmp_path / "run", organisms=2, rounds=4, finished=False))
    with run.journal() as journal:
        genome = journal.elite_genomes()[0]
    harm(run.blobs.path(genome))
    with pytest.raises(RunDirectoryError, match=f"{genome}.safetensors, the genome of an elite, is missing"):
        run.write_manifest("0" * 64)
    assert not run.finished()


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "manifest.json", "journal.sqlite"])
def test_a_file_that_is_a_link_is_refused(finished, name, tmp_path):
    (finished.path / name).rename(tmp_path / "outside")
    (finished.path / name).symlink_to(tmp_path / "outside")
    reads = {
        "config.yaml": lambda: RunDirectory.open(finished.path),
        "environment.json": finished.environment,
        "manifest.json": finished.manifest,
        "journal.sqlite": finished.journal,
    }
    with pytest.raises(StoreError, match=f"{name} is a symbolic link; inside a run there are plain files"):
        reads[name]()


def test_pictures_are_not_drawn_through_a_link(finished, tmp_path):
    assert finished.make_plots_folder() == finished.make_plots_folder() == finished.path / "plots"
    finished.plots_path.rmdir()
    finished.plots_path.symlink_to(tmp_path)
    with pytest.raises(StoreError, match="plots is a symbolic link and no folder; inside a run"):
        finished.make_plots_folder()


def test_a_manifest_names_every_lasting_file(finished):
    manifest = json.loads(finished.manifest_path.read_text())
    blob = next(finished.blobs.digests())
    names = {f"blobs/{blob[:2]}/{blob}.safetensors", "config.yaml", "environment.json", "journal.sqlite"}
    assert set(manifest["files"]) == names
    assert manifest["digest"] == round_digest("{}", [])
    assert manifest["files"][f"blobs/{blob[:2]}/{blob}.safetensors"] == {"bytes": 4, "sha256": blob}
    assert finished.manifest() == Manifest(manifest["digest"], manifest["files"])
    finished.check_manifest()


def test_pictures_and_logs_may_change(finished):
    finished.plots_path.mkdir()
    finished.report_path.write_text("new")
    finished.check_manifest()


def test_every_flipped_bit_of_the_journal_is_found(finished):
    whole = finished.journal_path.read_bytes()
    for place in range(0, len(whole), 997):
        data = bytearray(whole)
        data[place] ^= 1
        finished.journal_path.write_bytes(data)
        with pytest.raises(
            RunDirectoryError, match=r"journal.sqlite was altered: SHA-256 .*, in the manifest"
        ):
            finished.check_manifest(blobs=False)


@pytest.mark.parametrize("mask", [1, 7, 32, 128])  # 7 makes a carriage return of a line feed
def test_every_changed_byte_of_the_manifest_is_found(finished, mask):
    whole = finished.manifest_path.read_bytes()
    for place in range(len(whole)):
        finished.manifest_path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
        with pytest.raises(RunDirectoryError, match=r"manifest.json .*; restore it from a copy"):
            finished.manifest()


@pytest.mark.parametrize(
    "form", [str.rstrip, lambda text: text.replace("\n", "\r\n"), lambda text: text + " "]
)
def test_a_manifest_has_one_form(finished, form):
    with finished.manifest_path.open("r+", newline="") as file:
        text = form(file.read())
        file.seek(0)
        file.write(text)
        file.truncate()
    with pytest.raises(RunDirectoryError, match=r"manifest.json was altered; restore it from a copy"):
        finished.manifest()


def test_a_missing_file_is_named(finished):
    finished.environment_path.unlink()
    with pytest.raises(RunDirectoryError, match=r"environment.json is missing; restore it"):
        finished.check_manifest()


def test_blobs_are_checked_only_if_asked(finished):
    finished.blobs.path(next(finished.blobs.digests())).write_bytes(b"bloB")
    finished.check_manifest(blobs=False)
    with pytest.raises(RunDirectoryError, match="safetensors was altered"):
        finished.check_manifest()


def test_a_run_that_goes_on_has_no_manifest(finished):
    finished.remove_manifest()
    assert not finished.finished()
    finished.write_config(yaml.safe_dump(CONFIG | {"execution": {"workers": 2}}))
    finished.check_manifest()


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 99, "files": {}}',
        '{"format": 2}',
        '{"format": 2, "files": {"a": 1}}',
        '{"format": 2, "files": {"a": {"bytes": 1}}}',
        '{"format": 2, "files": {"../a": {"bytes": 1, "sha256": ""}}}',
        '{"format": 2, "files": {"/a": {"bytes": 1, "sha256": ""}}}',
    ],
)
def test_another_manifest_is_refused(finished, text):
    finished.manifest_path.write_text(text)
    with pytest.raises(RunDirectoryError, match="is not a manifest of format 2"):
        finished.check_manifest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [", ", line 1, column 5: not YAML: .*; restore it from a copy"),
        (b"a: &b 1\nc: *b", r", line 2: the alias \*b is not allowed; .*; restore it from a copy"),
        (b"a: 1\na: 2", ", line 2: the key a was already given in line 1; restore it from a copy"),
        (b"[1]", " has no keys at its top"),
        (b"\xff\xfe\xfa", " cannot be read"),
    ],
)
def test_a_damaged_config_is_named(run, text, message):
    run.config_path.write_bytes(text)
    with pytest.raises(RunDirectoryError, match=rf"config.yaml{message}"):
        run.config()


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_damaged_environment_is_named(run, text):
    run.environment_path.write_text(text)
    with pytest.raises(RunDirectoryError, match=r"environment.json is not JSON"):
        run.environment()
