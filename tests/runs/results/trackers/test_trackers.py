"""Each tracker's files, read back by its own reader where it brings one."""

import json
import math
import struct
import sys
import zlib
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from wandb.proto.wandb_internal_pb2 import Record

from archive_store.reading import open_run
from runs.errors import ConfigError, RunError
from runs.results.trackers.export import TRACKERS, export_to
from runs.results.trackers.tracked import tracked
from tests.fixtures.small_runs import launched
from tests.fixtures.synthetic_run import write_run

BLOCK = 32768  # bytes of a block of LevelDB's log
PICTURE = (Path(__file__).parents[4] / "analysis" / "gallery" / "emitters.png").read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = launched(tmp_path_factory.mktemp("tracked") / "run")
    (path / "plots").mkdir()
    (path / "plots" / "emitters.png").write_bytes(PICTURE)
    return path


@pytest.fixture
def run(path):
    return open_run(path)


def expected(run):
    """The finite numbers of the frame of rounds, by name and round."""
    frame = run.rounds().select_dtypes("number").set_index("round")
    return {
        (f"run/{name}", round): value
        for name, column in frame.items()
        for round, value in column.items()
        if math.isfinite(value)
    }


def test_what_is_tracked_is_what_the_frames_say(run):
    found = tracked(run)
    assert found.identity == f"{run.config['name']}-{run.digest(0)[:12]}"
    assert found.tags["digest"] == run.digest()
    assert found.settings["organism.count"] == run.config["organism"]["count"]
    assert found.settings["execution.executor"] == "inline"
    assert found.settings["task.path"] == "null"
    assert found.settings["calibration.checkpoints"] == "[0.5, 1.0]"
    assert found.tags["revision"] == str(run.environment["revision"])
    assert all(isinstance(value, (str, int, float, bool)) for value in found.settings.values())
    rounds = [point.round for point in found.points]
    assert rounds == [0, 1, 2, 3, 4]
    numbers = {(name, point.round): value for point in found.points for name, value in point.values.items()}
    assert {key: value for key, value in numbers.items() if key[0].startswith("run/")} == expected(run)
    timings = run.timings()
    trained = timings[(timings["name"] == "train") & (timings["round"] == 2)]["seconds"].sum()
    assert numbers["seconds/train", 2] == pytest.approx(trained)
    assert numbers["validity/kmo", 0] == run.validity()["kmo"].iloc[0]
    moments = [point.at for point in found.points[1:]]
    assert moments == sorted(moments)
    assert found.pictures == {"emitters": PICTURE}


def test_tensorboard_reads_back_scalars_settings_and_pictures(run, tmp_path):
    place = export_to(run, "tensorboard", tmp_path / "logs")
    reader = EventAccumulator(str(place), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    reader.Reload()
    read = {
        (tag, event.step): event.value for tag in reader.Tags()["scalars"] for event in reader.Scalars(tag)
    }
    wanted = expected(run)
    assert wanted.keys() <= read.keys()
    for key, value in wanted.items():
        assert read[key] == pytest.approx(value, rel=1e-6)  # float32
    (text,) = make_ndarray(reader.Tensors("settings")[0].tensor_proto)
    assert f"| seed | `{run.config['seed']}` |" in text.decode()
    (image,) = reader.Images("plots/emitters")
    assert image.encoded_image_string == PICTURE
    assert (image.width, image.height) == struct.unpack(">II", PICTURE[16:24])


def records(path):
    """Read a file of W&B: a header of 7 bytes, then LevelDB's log of length-prefixed, checksummed pieces."""
    data, at, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        checksum, size, kind = struct.unpack("<IHB", data[at : at + 7])
        piece = data[at + 7 : at + 7 + size]
        assert checksum == zlib.crc32(piece, zlib.crc32(bytes([kind])))
        whole += piece
        at += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last piece
            yield Record.FromString(whole)
            whole = b""


@pytest.fixture
def at_home(monkeypatch, tmp_path):
    """A home of its own: the library keeps settings and caches there."""
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.mark.usefixtures("at_home")
def test_wandb_keeps_scalars_and_settings_offline(run, tmp_path):
    place = export_to(run, "wandb", tmp_path / "logs")
    (path,) = place.glob("run-*.wandb")
    kept = list(records(path))
    settings = {
        each.key or ".".join(each.nested_key): json.loads(each.value_json)
        for record in kept
        if record.WhichOneof("record_type") == "run"
        for each in record.run.config.update
    }
    assert settings["seed"] == run.config["seed"]
    rows = [
        {each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in record.history.item}
        for record in kept
        if record.WhichOneof("record_type") == "history"
    ]
    read = {
        (name, row["_step"]): value for row in rows for name, value in row.items() if name.startswith("run/")
    }
    assert read == pytest.approx(expected(run))
    assert any(name.startswith("plots/emitters") for row in rows for name in row)


def test_mlflow_reads_back_metrics_settings_and_pictures(run, tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    place = export_to(run, "mlflow", tmp_path / "logs")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=(tmp_path / "logs").as_uri())
    experiment = client.get_experiment_by_name("plasmodia").experiment_id
    (kept,) = client.search_runs([experiment])
    assert place == tmp_path / "logs" / experiment / kept.info.run_id
    assert (kept.info.run_name, kept.info.status) == (run.config["name"], "FINISHED")
    assert kept.data.params["seed"] == str(run.config["seed"])
    assert kept.data.tags["plasmodia.digest"] == run.digest()
    read = {
        (name, metric.step): metric.value
        for name in kept.data.metrics
        if name.startswith("run/")
        for metric in client.get_metric_history(kept.info.run_id, name)
    }
    assert read == expected(run)
    (picture,) = client.list_artifacts(kept.info.run_id, "plots")
    assert Path(client.download_artifacts(kept.info.run_id, picture.path)).read_bytes() == PICTURE


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_second_export_adds_nothing(tracker, run, tmp_path):
    export_to(run, tracker, tmp_path / "logs")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        ConfigError, match=r"the run was exported to .*logs before: remove .*, or name another folder"
    ):
        export_to(run, tracker, tmp_path / "logs")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_folder_may_be_relative(tracker, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = export_to(run, tracker, Path("logs"))
    assert not place.is_absolute()
    assert place.is_dir()


@pytest.mark.parametrize("tracker", TRACKERS)
def test_no_run_is_written_into(tracker, run):
    told = rf"lies in the folder of the run .*; choose another folder for --to {tracker}"
    with pytest.raises(ConfigError, match=told):
        export_to(run, tracker, run.directory.path / "logs")


@pytest.mark.parametrize("tracker", TRACKERS)
def test_without_the_extra_it_says_which(tracker, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(ConfigError, match=rf"install it by pip install 'plasmodia\[{tracker}\]'"):
        export_to(run, tracker, tmp_path)


def test_what_cannot_be_exported_is_told(run, tmp_path):
    with pytest.raises(ConfigError, match="known are tensorboard, wandb, mlflow; did you mean tensorboard"):
        export_to(run, "tensorbord", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"is given .*file, which is no folder; name another one"):
        export_to(run, "tensorboard", tmp_path / "file")
    with pytest.raises(RunError, match=r"cannot be written: .*; choose another one"):
        export_to(run, "tensorboard", tmp_path / "file" / "below")


def test_a_run_without_rounds_is_told(tmp_path):
    live = write_run(tmp_path / "live", rounds=0, finished=False)
    with pytest.raises(RunError, match="has no finished round yet; export it later"):
        tracked(open_run(live))
