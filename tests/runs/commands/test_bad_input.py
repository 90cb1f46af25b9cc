"""Whatever is wrong with what a user gives: one sentence on stderr, status 2 or 1, nothing half-written."""

import os
import socket
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.cli import app
from runs.launch import launch
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import SMALL, copied, files, small

CONFIG, RUN = 2, 1  # exit statuses


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, apart from what a test puts there itself."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(status, *arguments):
    """Call the command; give the one sentence that it says, after checking that nothing was written."""
    before = files(Path.cwd())
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert isinstance(result.exception, SystemExit)
    after = files(Path.cwd())
    assert set(after) <= {*before, *(f"{name}{suffix}" for name in before for suffix in ("-shm", "-wal"))}
    kept = {name for name in before if "journal" not in name and not name.endswith("/lock")}
    assert {name for name in kept if after[name] != before[name]} == set()
    (line,) = result.stderr.splitlines()
    assert line.startswith("plasmodia: ")
    assert "Traceback" not in line
    return line.removeprefix("plasmodia: ")


def launching(*overrides):
    return ("launch", "smoke", *SMALL, *overrides, "--out", "new", "--quiet")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["organsm.count=3"], "organsm: unknown key; did you mean organism?"),
        (["organism.heads=3"], "organism.heads: unknown key"),
        (["rounds=many"], 'rounds: must be an integer, not "many"'),
        (["rounds=2.5"], "rounds: must be an integer, not 2.5"),
        (["organism=3"], "organism: must be"),
        (["organism.capacity=3"], "organism.capacity: must be at least organism.initial (4), not 3"),
        (["organism.pseudopods.max_window=0"], "organism.pseudopods.max_window: must be at least 1"),
        (["organism.kind=experts", "organism.experts.experts_per_token=0"], "must be at least 1, not 0"),
        (["organism.experts.experts_per_token=0"], "organism.experts: holds the options of a family that"),
        (["organism.kind=experts", "organism.experts.experts_per_token=9"], "must be at most organism.capacity ("),
        (["organism.kind=experts", "organism.experts.max_hidden=3"], "must be at least max_rank (16), not 3"),
        (["organism.pseudopods.min_temperature=.nan"], "min_temperature: must be a finite number, not NaN"),
        (["chemotaxis.window=0"], "chemotaxis.window: must be at least 1"),
        (["archive.cells=1001"], "archive.cells: must be at most 1000"),
        (["archive.centroids=kmeans", "archive.cells=256"], "archive.cells: kmeans needs 10 samples a cell"),
        (["annealing.start=.nan"], "annealing.start: must be"),
        (["training.learning_rate=.inf"], "training.learning_rate: must be"),
        (["name=a..b"], "name: must be 1 to 64 letters"),
        (["name=../up"], "name: must be 1 to 64 letters"),
        (["lag=-1"], "lag: must be at least 0"),
        (["objective.task=0.9"], "the weights task, efficiency and gradient must sum to 1"),
        (["births=often"], "births: must be"),
        (["task.stream=true"], "task.stream: only text, tinystories, wikitext can be read as streams"),
        (["task.chunks=3"], "task.chunks: is an option of streams; choose the task recall, or text with"),
        (["task.truncation=2"], "task.truncation: is an option of streams"),
        (["task.name=recall", "task.chunks=1"], "task.chunks: must be at least 2, not 1"),
        (["task.name=recall", "task.chunks=65"], "task.chunks is 65, but a stream of the task 'recall' has 2 to 64"),
        (["task.name=recall", "task.length=65"], "task.length is 65, but the task 'recall' takes 2 to 64 tokens"),
        (["task.name=recall", "task.truncation=9"], "task.truncation is 9, but gradients flow over 1 to 8 chunks"),
        (["task.name=recall", "organism.kind=experts"],
         "the task 'recall' does not go with organism.kind experts: it is a stream, and these components know no"),
        (["organism.pseudopods.memory=tubes"],
         "the task 'digits' does not go with organism.kind pseudopods: it is no stream, of which"),
        (["organism.pseudopods.memory=tube"], "organism.pseudopods.memory: must be one of none or tubes, not"),
        (["organism.pseudopods.memory_capacity=0"], "organism.pseudopods.memory_capacity: must be at least 1, not 0"),
        (["organism.pseudopods.memory_decay=1.0"], "organism.pseudopods.memory_decay: must be less than 1, not 1"),
        (["task.name=digts"], "task.name: must be digits, text, tinystories, wikitext, table, signals"),
        (["task.name=text", "task.path=nowhere.txt"], "task.path: no readable file at"),
        (["archive.centroids=nowhere.npy"], "archive.centroids: no readable file at"),
        (["calibration.from=nowhere"], "calibration.from: no readable directory at"),
        (["task.name=nowhere:Task"], "there is no module 'nowhere' on Python's path"),
        (["measures=[gradient_flow]"], "measures: must be a list of 2 to 8 measures, not of 1"),
        ([f"measures=[{','.join(f'm:m{n}' for n in range(9))}]"], "a list of 2 to 8 measures, not of 9"),
        (["measures=[json:nothing,activation_sparsity,gradient_flow,access_locality,compute_intensity]"],
         "measures is 'json:nothing', but the module 'json' has no 'nothing'"),
        (["organism.kind=json:nothing"], "organism.kind: is 'json:nothing', but the module 'json' has no"),
        (["rounds"], "an override is written key.path=value"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used(overrides, told):
    assert told in refused(CONFIG, *launching(*overrides))


def test_all_problems_of_a_configuration_come_at_once(tmp_path):
    (tmp_path / "mine.yaml").write_text("rounds: 0\nlag: soon\nname: ..\nsed: 3\n")
    result = CliRunner().invoke(app, ["launch", "mine.yaml"])
    assert result.exit_code == CONFIG
    for name in ("rounds", "lag", "name", "sed"):
        assert f"\n  {name}: " in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"rounds: [", "line 1, column 10: not YAML: "),
        (b"rounds: 3\nrounds: 4\n", "rounds"),
        (b"- rounds\n", "it must be a mapping such as"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_file_that_is_no_configuration(content, told, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(content)
    assert told in refused(CONFIG, "launch", "mine.yaml", "--out", "new")


def test_no_such_preset():
    assert "no preset and no file is called digts; did you mean digits?" in refused(CONFIG, "launch", "digts")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"caf\xe9 " * 200, "is not UTF-8: byte 3 is 0xe9"), (b"short", "has 5 bytes, but sequences of")],
)
def test_a_corpus_that_cannot_be_read(content, told, tmp_path):
    (tmp_path / "corpus.txt").write_bytes(content)
    assert told in refused(CONFIG, *launching("task.name=text", "task.path=corpus.txt"))


def test_a_corpus_that_is_a_directory(tmp_path):
    (tmp_path / "corpus").mkdir()
    assert "task.path: no readable file at" in refused(
        CONFIG, *launching("task.name=text", "task.path=corpus")
    )


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_centroids_that_are_none(content, tmp_path):
    (tmp_path / "mine.npy").write_bytes(content)
    told = refused(CONFIG, *launching("archive.centroids=mine.npy"))
    assert "mine.npy is not a readable .npy array" in told


def test_centroids_that_announce_more_than_there_is_memory_for(tmp_path):
    np.lib.format.open_memmap(tmp_path / "mine.npy", mode="w+", dtype="f8", shape=(2, 5))
    whole = (tmp_path / "mine.npy").read_bytes()
    (tmp_path / "mine.npy").write_bytes(whole.replace(b"(2, 5)", b"(2000000000, 5)", 1))
    assert "mine.npy is not a readable .npy array (" in refused(
        CONFIG, *launching("archive.centroids=mine.npy")
    )
    (tmp_path / "mine.npy").write_bytes(whole.replace(b"(2, 5)", b"(2000000, 5)", 1))
    os.truncate(tmp_path / "mine.npy", 81_000_000)  # as many bytes as it says, all holes
    assert "bytes of numbers, and at most" in refused(CONFIG, *launching("archive.centroids=mine.npy"))


def test_centroids_of_another_space(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((9, 2)))
    assert "archive.centroids=" in refused(RUN, *launching("archive.centroids=mine.npy"))


def test_an_existing_directory_is_not_touched(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.tex").write_text("years of work")
    told = refused(CONFIG, *launching())
    assert told.startswith("new exists already and holds no run; choose another --out, or remove it")


def test_a_ray_address_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    told = refused(RUN, *launching("--executor", "ray", "--address", address))
    assert told.startswith(f"no Ray cluster answers at address '{address}' (")


def test_a_ray_address_that_is_none():
    told = refused(CONFIG, *launching("--address", "http://somewhere"))
    assert "execution.address: must be local, auto, ray://host:port or host:port, not" in told


def test_too_few_components_to_judge_the_behaviour_space():
    few = ("organism.initial=1", "lifecycle.min_alive=1", "validity.gate=robust")
    assert refused(RUN, *launching(*few)).startswith(
        "the behaviour space is not sound: compute_intensity has only 3 distinct values"
    )


def test_a_training_that_diverges():
    told = refused(RUN, *launching("training.learning_rate=1e30", "training.clip=1e30"))
    assert "the training loss of organism -1 became nan" in told


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return launch(small(), tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    run = tmp_path_factory.mktemp("half") / "run"
    killed(launch_and_die, run, 2)
    return run


READERS = ["show", "digest", "plot", "replay", "resume"]


@pytest.mark.parametrize("arguments", [[name] for name in [*READERS, "verify"]] + [["replay", "--decisions"]])
def test_what_is_no_run(arguments, tmp_path):
    assert "there is no folder nowhere" in refused(CONFIG, *arguments, "nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty is no run" in refused(CONFIG, *arguments, "empty")
    (tmp_path / "file").touch()
    assert "file is no folder" in refused(CONFIG, *arguments, "file")


def test_a_calibration_of_what_is_no_run(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty is no run" in refused(CONFIG, *launching("calibration.from=empty"))


@pytest.mark.parametrize("command", READERS)
def test_a_run_that_has_lost_its_configuration(command, half, tmp_path):
    run = copied(half, tmp_path)
    (run / "config.yaml").unlink()
    assert "config.yaml is missing; restore it from a copy" in refused(RUN, command, run)


@pytest.mark.parametrize("command", READERS)
def test_a_corrupted_journal(command, half, tmp_path):
    run = copied(half, tmp_path)
    for path in run.glob("journal.sqlite*"):
        path.unlink()
    (run / "journal.sqlite").write_bytes(b"SQLite format 3\x00" + bytes(range(256)) * 16)
    assert "journal.sqlite" in refused(RUN, command, run)


@pytest.mark.parametrize("command", ["digest", "resume"])
def test_a_journal_that_was_altered(command, half, tmp_path):
    run = copied(half, tmp_path)
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute("UPDATE event SET body = replace(body, '0.', '1.') WHERE round = 1 AND seq = 0")
    database.close()
    assert "round 1, event 0 (decision) is not as it was written" in refused(RUN, command, run)


@pytest.mark.parametrize("arguments", [["plot"], ["replay", "--decisions"], ["resume"]])
def test_a_corrupted_blob(arguments, half, tmp_path):
    run = copied(half, tmp_path)
    digest = open_run(run).calibration()["centroids"]
    path = RunDirectory.open(run).blobs.path(digest)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    told = refused(RUN, arguments[0], run, *arguments[1:])
    assert f"{digest}.safetensors is damaged" in told


def test_a_resume_whose_configuration_differs(half, tmp_path):
    run = copied(half, tmp_path)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("rounds: 4", "rounds: 5").replace("lag: 1", "lag: 2"))
    told = refused(RUN, "resume", run)
    assert told.endswith("other settings or data: config.lag: 1 against 2; config.rounds: 4 against 5")


def test_a_finished_run_that_was_altered_says_so_before_anything_else(whole, tmp_path):
    run = copied(whole, tmp_path)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("rounds: 4", "rounds: 5"))
    told = refused(RUN, "resume", run)
    assert "other settings or data: config.rounds: 4 against 5; it has ended: restore" in told
    assert told.endswith(f"plasmodia fork {run} --at ROUND a.b=v")
    for command in ("show", "plot"):
        assert "config.yaml was altered: SHA-256 " in refused(RUN, command, run)
    (run / "config.yaml").write_text(text + "# a word")
    assert "config.yaml was altered: SHA-256 " in refused(RUN, "resume", run)


def test_a_resume_whose_configuration_is_none(half, tmp_path):
    run = copied(half, tmp_path)
    (run / "config.yaml").write_text("rounds: -4\n")
    assert "rounds: must be at least 1, not -4" in refused(CONFIG, "resume", run)


def test_a_resume_with_execution_that_cannot_be(half):
    assert "workers: must be at least 1 or auto, not 0" in refused(CONFIG, "resume", half, "--workers", 0)
    assert "executor: must be one of ray or inline" in refused(
        CONFIG, "resume", half, "--executor", "threads"
    )


def test_a_replay_of_a_changed_run_shows_both_and_says_where(whole, tmp_path):
    run = copied(whole, tmp_path)
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute(
            "UPDATE event SET body = json_set(body, '$.candidate.objective', 0.75) WHERE rowid = "
            "(SELECT rowid FROM event WHERE kind = 'outcome' AND round = 2 ORDER BY seq LIMIT 1)"
        )
    database.close()
    for options in ([], ["--decisions"]):
        result = CliRunner().invoke(app, ["replay", str(run), *options])
        assert result.exit_code == RUN
        assert result.stdout.splitlines()[0].startswith("round 2, event ")
        assert any(line.split()[:2] == ["candidate.objective", "0.75"] for line in result.stdout.splitlines())
        assert "differs from its replay at round 2, event " in result.stderr.splitlines()[-1]


def test_a_run_without_a_round(half, tmp_path):
    run = copied(half, tmp_path)
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute("DELETE FROM round")
        database.execute("DELETE FROM event")
    database.close()
    for command in (["show"], ["digest"], ["replay"], ["replay", "--decisions"], ["resume"]):
        told = refused(RUN, command[0], run, *command[1:])
        assert "again" in told


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused(CONFIG, *launching()[:-2], "file/run", "--quiet")
