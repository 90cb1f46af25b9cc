import importlib.metadata
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from archive_store.errors import BlobError
from archive_store.reading import open_run
from qd.measures import MEASURES
from runs.cli import app
from runs.config.model import configured
from runs.config.presets import presets
from runs.errors import ConfigError, RunError
from runs.observability.progress import Progress
from runs.rounds.differences import Difference
from tests.fixtures.small_runs import arguments
from tests.fixtures.synthetic_run import write_run

ROOT = Path(__file__).parents[2]
runner = CliRunner()


def call(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def command(*arguments, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "runs.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class Fakes:
    """Stand-ins for the parts of a run that take long, and what they were called with."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.fails: BaseException | None = None
        self.undrawable: BaseException | None = None
        self.failing: tuple[tuple[str, Exception], ...] = ()
        self.difference: Difference | None = None
        self.checks = [{"name": "python", "status": "ok", "detail": "3.11"}]

    def launch(self, config, out, report=None, tell=None):
        return self._run("launch", (config, out), out, report)

    def resume(self, run, execution, report=None, accept_environment=False, tell=None):
        return self._run("resume", (run, execution, accept_environment), run, report)

    def _run(self, name, what, path, report):
        self.calls.append((name, *what))
        if report is not None:
            report(Progress("rounds", 1, 3, 0.5, 1.0, 0.1, 1, 0, 1.0))
        if not path.exists():
            write_run(path, rounds=3)
        if self.fails is not None:
            raise self.fails
        return path

    def replay(self, run, until, execution, report=None):
        self.calls.append(("replay", run, until, execution))
        return self.difference

    def decisions(self, run, until):
        self.calls.append(("decisions", run, until))
        return 1000, 0.05, self.difference

    def draw(self, path, kinds=None, format="png", more=None, folder=None, failed=None):
        self.calls.append(("draw", path, kinds, format))
        self.more = more
        if self.undrawable is not None:
            raise self.undrawable
        for kind, error in self.failing:
            failed(kind, error)
        return [path / "plots" / f"{kind}.{format}" for kind in kinds or ("coverage", "lifecycle")]


@pytest.fixture
def fakes(monkeypatch):
    fakes = Fakes()
    modules = {
        "runs.machine.settings": {"prepare": lambda: fakes.calls.append(("prepare",))},
        "runs.launch": {"launch": fakes.launch},
        "runs.resume": {"resume": fakes.resume},
        "runs.replay": {"replay": fakes.replay, "decisions": fakes.decisions},
        "runs.doctor.doctor": {"doctor": lambda: fakes.checks},
        "analysis.pictures": {
            "draw": fakes.draw,
            "KINDS": ("coverage", "parallel", "lifecycle"),
        },
    }
    for name, attributes in modules.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
        package, _, attribute = name.rpartition(".")
        monkeypatch.setattr(import_module(package), attribute, module, raising=False)
    return fakes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", rounds=5)


class TestLaunch:
    def test_the_table_and_the_pictures_are_printed_and_progress_goes_to_stderr(self, fakes, tmp_path):
        out = tmp_path / "new"
        result = call("launch", "smoke", "organism.count=4", "--seed", 9, "--out", out, "--workers", 2)
        assert result.exit_code == 0, result.stderr
        assert fakes.calls[0] == ("prepare",)
        name, config, path = fakes.calls[1]
        assert (name, path) == ("launch", out)
        assert (config.seed, config.organism.count, config.execution.workers) == (9, 4, 2)
        assert result.stdout.startswith("run ")
        assert "KMO and verdict" in result.stdout
        assert result.stdout.endswith(f"{out}/plots/coverage.png\n{out}/plots/lifecycle.png\n")
        assert (
            result.stderr
            == "round 1/3  coverage 50.0%  QD score 1.00  T 0.100  births 1  deaths 0  100%, 0:00 left\n"
        )

    def test_json_is_one_object_and_quiet_is_quiet(self, fakes, tmp_path):
        result = call("launch", "smoke", "--out", tmp_path / "new", "--json", "--quiet")
        values = json.loads(result.stdout)
        assert values["rounds"] == 3
        assert len(values["plots"]) == 2
        assert result.stderr == ""

    def test_the_directory_is_named_after_the_run(self, fakes, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = call("launch", "smoke", "name=mine", "--quiet")
        assert (result.exit_code, result.stdout.splitlines()[0].split()) == (0, ["run", "out/mine"])
        assert fakes.calls[1][2] == tmp_path / "out" / "mine"

    def test_a_dry_run_prints_the_configuration_and_writes_nothing(self, fakes, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        options = ("--executor", "inline", "--workers", "auto", "--address", "ray://a:1", "--dry-run")
        result = call("launch", "smoke", "lag=0", *options)
        assert result.exit_code == 0
        config = configured(yaml.safe_load(result.stdout))
        assert (config.lag, config.execution.executor, config.execution.workers) == (0, "inline", "auto")
        assert config.execution.address == "ray://a:1"
        assert configured(json.loads(call("launch", "smoke", "lag=0", *options, "--json").stdout)) == config
        assert (list(tmp_path.iterdir()), fakes.calls) == ([], [])

    def test_all_problems_come_at_once_with_status_2(self, fakes):
        result = call(
            "launch", "smoke", "organsm.count=2", "--seed", -1, "--workers", "many", "--executor", "rya"
        )
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.splitlines()[0] == "plasmodia: smoke: 4 problems:"
        for part in (
            "did you mean organism?",
            "seed: must be at least 0",
            "did you mean ray?",
            "execution.workers",
        ):
            assert part in result.stderr
        assert fakes.calls == []

    def test_an_existing_directory_is_refused_before_anything_starts(self, fakes, tmp_path):
        result = call("launch", "smoke", "--out", tmp_path)
        assert result.exit_code == 2
        remedy = "choose another --out, or remove it: a launch makes the folder itself"
        assert result.stderr == f"plasmodia: {tmp_path} exists already and is empty; {remedy}\n"
        assert fakes.calls == []

    @pytest.mark.parametrize(
        ("error", "status", "message"),
        [
            (RunError("no Ray cluster answers at ray://a:1"), 1, "no Ray cluster answers at ray://a:1"),
            (ConfigError("task.path: not UTF-8"), 2, "task.path: not UTF-8"),
            (BlobError("blob ab is damaged"), 1, "blob ab is damaged"),
            (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
            (MemoryError(), 1, "there is too little memory: nothing could be allocated"),
            (
                ImportError("x.so: failed to map segment"),
                1,
                "there is too little memory: x.so: failed to map segment",
            ),
        ],
    )
    def test_what_can_go_wrong_is_one_sentence(self, fakes, tmp_path, error, status, message):
        fakes.fails = error
        result = call("launch", "smoke", "--out", tmp_path / "new", "--quiet")
        assert (result.exit_code, result.stderr) == (status, f"plasmodia: {message}\n")
        assert result.stdout == ""

    def test_a_mistake_in_the_program_is_not_hidden(self, fakes, tmp_path):
        for mistake in (ZeroDivisionError, ImportError):
            fakes.fails = mistake("a mistake")
            assert isinstance(
                call("launch", "smoke", "--out", tmp_path / mistake.__name__).exception, mistake
            )

    def test_an_interrupt_says_how_to_go_on(self, fakes, tmp_path):
        fakes.fails = KeyboardInterrupt()
        out = tmp_path / "new"
        result = call("launch", "smoke", "--out", out, "--quiet")
        assert (result.exit_code, result.stderr) == (
            130,
            f"plasmodia: interrupted; go on with: plasmodia resume {out}\n",
        )


class TestDrawing:
    def test_the_summary_comes_first_and_what_fails_is_a_sentence(self, fakes, tmp_path):
        fakes.undrawable = TypeError("no such backend")
        result = call("launch", "smoke", "--out", tmp_path / "new", "--quiet")
        assert (result.exit_code, result.stdout.splitlines()[0].split()[0]) == (0, "run")
        assert result.stderr.startswith(
            "plasmodia: the run has ended, but its pictures are not drawn: it raised TypeError: no such backend ("
        )

    def test_also_one_picture_that_fails(self, fakes, tmp_path):
        fakes.failing = (("coverage", ValueError("no")), ("lifecycle", BlobError("blob ab is damaged")))
        result = call("launch", "smoke", "--out", tmp_path / "new", "--quiet")
        assert result.exit_code == 0
        assert result.stderr == (
            "plasmodia: coverage is not drawn: it raised ValueError: no\n"
            "plasmodia: lifecycle is not drawn: blob ab is damaged\n"
        )
        assert result.stdout.endswith("plots/lifecycle.png\n")

    def test_of_plot_alone_it_is_the_status(self, fakes, run):
        fakes.failing = (("coverage", ValueError("no")),)
        assert call("plot", run).exit_code == 1
        fakes.failing = (("coverage", BlobError("blob ab is damaged")),)
        result = call("plot", run)
        assert (result.exit_code, result.stderr) == (1, "plasmodia: blob ab is damaged\n")

    def test_an_interrupt_does_not_cost_the_summary(self, fakes, tmp_path):
        fakes.undrawable = KeyboardInterrupt()
        result = call("launch", "smoke", "--out", tmp_path / "new", "--quiet", "--json")
        assert (result.exit_code, json.loads(result.stdout)["plots"]) == (130, [])


class TestResume:
    def test_the_changes_of_execution_are_handed_on(self, fakes, run):
        result = call("resume", run, "--workers", 3, "--executor", "inline", "--quiet")
        assert result.exit_code == 0, result.stderr
        assert fakes.calls[1] == ("resume", run, {"workers": 3, "executor": "inline"}, False)
        assert "digest" in result.stdout

    def test_another_environment_is_accepted_by_an_option(self, fakes, run):
        assert call("resume", run, "--accept-environment", "--quiet").exit_code == 0
        assert fakes.calls[1] == ("resume", run, {}, True)

    def test_impossible_ones_are_refused(self, fakes, run):
        result = call("resume", run, "--workers", 0)
        assert (result.exit_code, fakes.calls) == (2, [])
        assert "workers: must be at least 1 or auto, not 0" in result.stderr


class TestReplay:
    def test_equality_is_said_with_the_digest(self, fakes, run):
        result = call("replay", run, "--until", 4, "--workers", 1)
        assert fakes.calls == [("prepare",), ("replay", run, 4, {"workers": 1})]
        assert result.stdout == f"equal: rounds 0 to 4, digest {open_run(run).digest(4)}\n"

    def test_a_difference_is_shown_side_by_side_with_status_1(self, fakes, run):
        fakes.difference = Difference(4, 7, "outcome", 2, '{"objective":0.5}', '{"objective":0.25}')
        for options in ((), ("--decisions",)):
            result = call("replay", run, *options)
            assert result.exit_code == 1
            assert result.stdout.splitlines()[1:] == [
                "           journaled  replayed",
                "objective  0.5        0.25",
            ]
            event = "round 4, event 7 (outcome of organism 2)"
            assert result.stderr == f"plasmodia: {run} differs from its replay at {event}\n"

    def test_decisions_are_counted(self, fakes, run):
        result = call("replay", run, "--decisions")
        assert fakes.calls[1] == ("decisions", run, None)
        assert result.stdout == "equal: 1,000 decisions re-derived in 0.05 s (20,000 per second)\n"


class TestDigest:
    def test_the_last_and_all(self, run):
        digests = {number: open_run(run).digest(number) for number in range(6)}
        assert call("digest", run).stdout == f"{digests[5]}\n"
        lines = [f"{number} {text}" for number, text in digests.items()]
        assert call("digest", run, "--rounds").stdout.splitlines() == lines

    def test_a_journal_that_was_tampered_with_has_none(self, tmp_path):
        path = write_run(tmp_path / "run", rounds=3)
        with sqlite3.connect(path / "journal.sqlite") as database:
            database.execute("UPDATE event SET body = replace(body, '0.', '1.') WHERE round = 2 AND seq = 1")
        database.close()
        result = call("digest", path)
        assert (result.exit_code, result.stdout) == (1, "")
        assert re.fullmatch(r"plasmodia: .*round 2.*\n", result.stderr)

    def test_what_is_no_run_is_one_sentence(self, tmp_path):
        result = call("digest", tmp_path)
        assert result.exit_code == 2
        assert "is no run" in result.stderr
        assert len(result.stderr.splitlines()) == 1


class TestPlot:
    def test_paths_are_written(self, fakes, run):
        assert call("plot", run).stdout.splitlines() == [
            f"{run}/plots/coverage.png",
            f"{run}/plots/lifecycle.png",
        ]
        assert (
            call("plot", run, "--kind", "parallel", "--format", "svg").stdout == f"{run}/plots/parallel.svg\n"
        )
        calls = [("prepare",), ("draw", run, None, "png"), ("draw", run, ("parallel",), "svg")]
        assert fakes.calls == calls
        assert call("plot", run, "--kind", "predictions").exit_code == 0
        assert fakes.calls == [*calls, ("prepare",), ("draw", run, ("predictions",), "png")]

    def test_a_picture_for_which_a_network_is_trained_is_for_those_who_ask(self, fakes, run):
        assert call("plot", run, "--kind", "emergence").exit_code == 0
        assert "emergence" in fakes.more
        assert call("plot", run).exit_code == 0
        assert list(fakes.more) == ["predictions"]

    def test_unknown_kinds_and_formats_are_refused(self, fakes, run):
        result = call("plot", run, "--kind", "coverge")
        assert result.exit_code == 2
        assert (
            "no picture is called coverge; did you mean coverage? known: coverage, parallel, lifecycle, predictions, "
            "emergence" in result.stderr
        )
        result = call("plot", run, "--format", "gif")
        assert (result.exit_code, result.stderr) == (2, "plasmodia: --format must be png or svg, not gif\n")

    def test_a_picture_that_the_run_has_nothing_for_is_refused(self, run):
        result = call("plot", run, "--kind", "utilisation")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"plasmodia: {run} has no utilisation to draw: ")

    def test_the_users_code_is_run_for_pictures_by_launch_and_resume_alone(
        self, fakes, run, tmp_path, monkeypatch
    ):
        def picture(run, figure, own_code):
            sys.stdout.write("what a user's task prints")
            fakes.calls.append((run, figure, own_code))

        monkeypatch.setitem(sys.modules, "runs.results.predictions", SimpleNamespace(picture=picture))
        out = tmp_path / "new"
        for command, own_code in (
            (("launch", "smoke", "--out", out), True),
            (("resume", run), True),
            (("plot", run), False),
        ):
            result = call(*command)
            assert result.exit_code == 0, result.stderr
            with redirect_stdout(io.StringIO()) as stdout:
                fakes.more["predictions"]("a run", "a figure")
            assert fakes.calls[-1] == ("a run", "a figure", own_code)
            assert stdout.getvalue() == ""  # it is for data

    def test_the_help_names_every_kind(self):
        from analysis.pictures import KINDS

        text = " ".join(call("plot", "--help").stdout.split())
        assert f"Which picture: {', '.join(KINDS)}, predictions or emergence; may be repeated" in text


class TestDoctor:
    def test_a_line_a_check(self, fakes):
        fakes.checks.append({"name": "ray", "status": "warn", "detail": "little shared memory"})
        result = call("doctor")
        assert result.exit_code == 0
        assert result.stdout.splitlines() == ["ok    python  3.11", "warn  ray     little shared memory"]

    def test_a_failure_is_status_1_also_as_json(self, fakes):
        fakes.checks.append({"name": "torch", "status": "fail", "detail": "missing"})
        result = call("doctor", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout) == fakes.checks


def test_show_prints_the_table_or_json(run):
    assert call("show", run).stdout.startswith("run ")
    assert json.loads(call("show", run, "--json").stdout)["digest"] == open_run(run).digest()


def test_validate_says_valid_or_what_is_wrong(tmp_path):
    assert call("validate", "digits").stdout == "digits: valid (8 organisms, 20 rounds, digits)\n"
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1e-3\nsed: 1\n")
    assert (
        call("validate", "digits", "organism.count=2").stdout
        == "digits: valid (2 organisms, 20 rounds, digits)\n"
    )
    assert "organism.capacity: must be at least" in call("validate", "digits", "organism.capacity=1").stderr
    result = call("validate", path)
    assert result.exit_code == 2
    assert "seed: must be an integer, not 0.001" in result.stderr
    assert "did you mean seed?" in result.stderr


def test_validate_builds_task_and_family_unless_nothing_is_to_be_imported(tmp_path, monkeypatch):
    (tmp_path / "brittle_task.py").write_text("def build(options, corpus):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    given = ("validate", "digits", "task.name=brittle_task:build")
    broken = call(*given)
    assert (broken.exit_code, broken.stdout) == (2, "")
    assert "ZeroDivisionError: division by zero (brittle_task.py, line 2)" in broken.stderr
    assert call(*given, "--no-import").exit_code == 0
    result = call(*given, "--no-import", "--calibrate")
    assert (result.exit_code, result.stdout) == (2, "")


def test_validate_calibrates_and_says_what_that_lets_foresee():
    result = call("validate", "smoke", *arguments(), "--calibrate")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("training loss ")
    assert [line.split("  ")[0] for line in lines if "reliability" in line] == list(MEASURES)
    assert lines[-1] == "smoke: valid (3 organisms, 4 rounds, digits)"
    assert "independent ones, under 3" in result.stderr


class TestVerify:
    def test_an_intact_run_is_counted(self, run):
        result = call("verify", run)
        assert (result.exit_code, result.stderr) == (0, "")
        assert re.fullmatch(r"intact: \d+ files, [\d,]+ bytes, rounds 0 to 5, finished\n", result.stdout)
        values = json.loads(call("verify", run, "--json").stdout)
        assert values.pop("files") > 3
        assert values.pop("bytes") > 1000
        assert values == {"run": str(run), "finished": True, "rounds": 5, "problems": []}

    def test_every_damaged_file_is_a_line_and_status_1(self, run, tmp_path):
        damaged = shutil.copytree(run, tmp_path / "run")
        (damaged / "config.yaml").write_text("seed: 1\n")
        blob = next((damaged / "blobs").rglob("*.safetensors"))
        blob.unlink()
        result = call("verify", damaged)
        assert result.exit_code == 1
        first, second = result.stdout.splitlines()
        assert re.match(rf"{blob.relative_to(damaged)} \(round \d\): is missing; depends on it: the ", first)
        assert re.match(r"config.yaml: has 8 bytes and not \d+; depends on it: every round", second)
        assert re.fullmatch(
            r"plasmodia: .*run is damaged in 2 of its files; `plasmodia resume .*run` makes the genomes .* a copy\n",
            result.stderr,
        )
        told = call("verify", damaged, "--json")
        assert told.exit_code == 1
        problems = json.loads(told.stdout)["problems"]
        assert [set(problem) for problem in problems] == [{"file", "round", "problem", "dependents"}] * 2
        assert [problem["round"] is None for problem in problems] == [False, True]

    def test_what_is_no_run_is_one_sentence(self, tmp_path):
        result = call("verify", tmp_path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "is no run: it has no config.yaml" in result.stderr


class TestMany:
    def test_runs_below_a_folder_are_listed(self, tmp_path):
        write_run(tmp_path / "a" / "run")
        result = call("list", tmp_path, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        assert [each["state"] for each in json.loads(result.stdout)] == ["finished"]
        assert call("list", tmp_path).stdout.splitlines()[1].startswith(f"{tmp_path}/a/run ")

    def test_a_damaged_one_is_listed_and_said(self, tmp_path):
        path = write_run(tmp_path / "run")
        (path / "journal.sqlite").write_bytes(b"nonsense")
        result = call("list", tmp_path)
        assert result.exit_code == 1
        assert "damaged" in result.stdout
        assert "1 of 1 runs cannot be read" in result.stderr

    @pytest.mark.parametrize(("where", "status"), [("", 1), ("none", 2)])
    def test_where_there_is_none_it_says_so(self, tmp_path, where, status):
        result = call("list", tmp_path / where)
        assert (result.exit_code, result.stdout) == (status, "")
        assert len(result.stderr.splitlines()) == 1

    def test_the_files_of_frames_are_written_to_stdout(self, tmp_path):
        path = write_run(tmp_path / "run")
        result = call("export", path, "--frames", tmp_path / "frames")
        assert result.exit_code == 0
        assert f"{tmp_path}/frames/rounds.csv" in result.stdout.splitlines()


def test_the_schema_is_json():
    assert json.loads(call("schema").stdout)["properties"]["rounds"]["default"] == 40


class TestProcess:
    """The real command, in a process of its own."""

    def test_help_names_every_command_and_imports_nothing_heavy(self):
        names = ["launch", "resume", "replay", "digest", "verify", "validate", "plot", "show", "schema"]
        names += ["doctor", "list", "export", "compare", "experiment"]
        code = (
            "import sys\nfrom runs.cli import main\n"
            "try:\n    sys.argv = ['plasmodia', '--help']\n    main()\n"
            "finally:\n    print(sorted({name.split('.')[0] for name in sys.modules}))\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert all(f"\n  {name} " in result.stdout for name in names)
        loaded = set(yaml.safe_load(result.stdout.splitlines()[-1]))
        heavy = {"pydantic", "yaml", "numpy", "pandas", "torch", "ray", "ribs", "matplotlib", "rich"}
        assert loaded & heavy == set()

    def test_the_version_is_that_of_the_installation(self, monkeypatch):
        monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name}'s")
        assert call("--version").stdout == "plasmodia plasmodia's\n"

        def missing(name):
            raise importlib.metadata.PackageNotFoundError

        monkeypatch.setattr(importlib.metadata, "version", missing)
        assert call("--version").stdout == "plasmodia, not installed\n"

    def test_the_presets_are_named_and_completed(self):
        text = " ".join(call("launch", "--help").stdout.split()).replace("- ", "-")  # it breaks lines there
        assert f"Name of a preset ({', '.join(presets())})" in text
        asked = {
            "_PLASMODIA_COMPLETE": "complete_bash",
            "COMP_WORDS": "plasmodia launch sm",
            "COMP_CWORD": "2",
        }
        assert command(**asked).stdout.split() == ["smoke"]

    def test_a_usage_error_is_status_2_on_stderr(self):
        result = command("launch")
        assert (result.returncode, result.stdout) == (2, "")
        assert "Missing argument" in result.stderr
        assert command("lunch").returncode == 2

    def test_problems_are_status_2_and_nothing_is_written(self, tmp_path):
        result = command("launch", "smoke", "organism.capacity=2", "--out", tmp_path / "new")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            "plasmodia: smoke: organism.capacity: must be at least organism.initial (4), not 2\n"
        )
        assert not (tmp_path / "new").exists()

    @pytest.mark.long
    def test_what_a_dry_run_prints_can_be_validated(self, tmp_path):
        path = tmp_path / "c.yaml"
        path.write_text(command("launch", "text", "--dry-run").stdout)
        assert command("validate", path).stdout == f"{path}: valid (8 organisms, 40 rounds, text)\n"
