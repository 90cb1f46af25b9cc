"""`plasmodia fit` as it is typed: what is printed where, and that nonsense is one sentence and leaves nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archive_store.strict_yaml import write
from runs.cli import app
from runs.models.checkpoints import open_checkpoint
from runs.models.fit.reading import presets
from tests.fixtures.small_trainings import SMALL
from tests.fixtures.terminal import shown_on_a_terminal

CONFIG, RUN, STOPPED = 2, 1, 3  # exit statuses


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(write(SMALL))
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


def refused(status, *arguments):
    """What is said of arguments that are refused, after checking that nothing was written."""
    before = sorted(Path.cwd().rglob("*"))
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert sorted(Path.cwd().rglob("*")) == before
    (line,) = result.stderr.splitlines()
    assert line.startswith("plasmodia: ")
    return line.removeprefix("plasmodia: ")


def test_the_folder_of_the_best_checkpoint_is_all_that_is_on_stdout():
    result = call("small.yaml")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    best = open_checkpoint(Path(line))
    assert Path(line).parent == Path("out/models/small/checkpoints")
    first, *_, told, last = result.stderr.splitlines()
    assert first.startswith("small 1/6  loss ")
    assert told.startswith("plasmodia: small: all 6 steps are done; best after step ")
    assert last == "plasmodia: pictures are in out/models/small/plots"
    assert Path("out/models/small/plots/dashboard.png").is_file()
    assert told.endswith(f"R2 {best.metrics['score']:.4f} (last value: {_baseline():.4f})")


def test_metrics_are_a_file_beside_the_log():
    plain = call("small.yaml", "run_name=plain", "--json", "--quiet")
    result = call("small.yaml", "--metrics", "file", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    found = Path("out/models/small/metrics.prom").read_text()
    assert "\nplasmodia_fit_step 6.0\n" in found
    assert "\nplasmodia_fit_steps_total 6.0\n" in found
    assert json.loads(result.stdout)["loss"] == json.loads(plain.stdout)["loss"]
    deleted = CliRunner().invoke(app, ["models", "delete", "out/models/small", "--yes"])
    assert (deleted.exit_code, Path("out/models/small").exists()) == (0, False), deleted.output


def test_who_is_refused_leaves_no_metrics():
    assert "did you mean file?" in refused(CONFIG, "small.yaml", "--metrics", "fle")
    Path("out/models/small").mkdir(parents=True)
    Path("out/models/small/mine").touch()
    refused(CONFIG, "small.yaml", "--metrics", "file", "--quiet")


def _baseline():
    return json.loads(call("small.yaml", "run_name=again", "--json", "--quiet").stdout)["baseline"]


def test_json_has_all_that_a_program_needs_and_quiet_says_nothing():
    result = call("small.yaml", "--json", "--quiet", "optim.ema_decay=0.5")
    value = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert value["best"].startswith("out/models/small/checkpoints/step-0000000")
    assert (value["folder"], value["score_name"], value["metrics"]["is_average"]) == (
        "out/models/small",
        "R2",
        True,
    )
    assert value["loss"] == value["metrics"]["loss"]


def test_a_dry_run_writes_the_configuration_alone():
    result = call("small.yaml", "seed=3", "--dry-run")
    Path("resolved.yaml").write_text(result.stdout)
    assert call("resolved.yaml", "--dry-run").stdout == result.stdout
    assert json.loads(call("small.yaml", "--dry-run", "--json").stdout)["seed"] == 0
    assert not Path("out").exists()


def test_a_training_that_was_moved_goes_on_where_it_is_now():
    assert call("small.yaml", "--quiet").exit_code == 0
    Path("out/models/small").rename("moved")
    result = call("moved", "--resume", "--quiet")
    assert (result.exit_code, result.stdout.startswith("moved/checkpoints/step-")) == (0, True), result.output


def test_a_folder_that_is_there_names_both_ways_out():
    call("small.yaml", "--quiet")
    assert refused(CONFIG, "small.yaml") == (
        "out/models/small exists already; go on with: plasmodia fit out/models/small --resume, or choose another name: "
        "run_name=..."
    )


def test_the_folder_of_a_training_or_a_run_says_how_to_go_on_with_it():
    call("small.yaml", "--quiet")
    assert refused(CONFIG, "out/models/small") == (
        "out/models/small is the folder of a training; go on with: plasmodia fit out/models/small --resume"
    )
    Path("run").mkdir()
    for name in ("config.yaml", "journal.sqlite"):
        Path("run", name).touch()
    assert refused(CONFIG, "run", "--resume") == (
        "run is a run and no training; go on with: plasmodia resume run"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "no preset and no file is called nothing; presets: digits-pseudopods"),
        (["small.yaml", "optim.lr=1"], "small.yaml: optim.lr: unknown key"),
        (
            ["small.yaml", "--resume"],
            "there is no training at out/models/small to go on with; leave out --resume to begin it",
        ),
        (["small.yaml", "--nproc", "0"], "--nproc must be at least 1, not 0"),
        (["small.yaml", "--nproc", "-3"], "--nproc must be at least 1, not -3"),
        ([".", "--resume"], ". is the folder of no training: it has no config.yaml"),
        (["."], ". is a directory; give a YAML file or a preset"),
        (
            ["small.yaml", "model.kind=nowhere:build"],
            "model.kind is 'nowhere:build', but there is no module 'nowhere'",
        ),
        (
            ["small.yaml", "data.name=nowhere:build"],
            "data.name is 'nowhere:build', but there is no module 'nowhere'",
        ),
        (["small.yaml", "data.name=digits"], "data.kinds is"),
        (
            ["small.yaml", "data.path=nowhere.txt", "data.name=text", "data.kinds=null"],
            "the corpus data.path=",
        ),
        (
            ["small.yaml", "model.kind=towers", "model.towers.n_heads=2"],
            "model.towers does not fit the task 'signals'",
        ),
    ],
)
def test_nonsense_is_one_sentence_and_leaves_nothing(arguments, told):
    assert refused(CONFIG, *arguments).startswith(told)


def test_a_model_of_the_working_directory_is_found_and_its_failure_told(place):
    Path("mine.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self, signature, options, generator):\n"
        "        super().__init__()\n"
        "        self.map = nn.Linear(signature.features, signature.outputs)\n"
        "    def forward(self, tokens, mask=None, generator=None):\n"
        "        print('printed by a model')\n"
        "        return self.map(tokens), {}\n"
    )
    code = "import sys; from runs.cli import main; sys.argv = ['plasmodia', *sys.argv[1:]]; main()"
    root = str(Path(__file__).parents[3])
    words = [sys.executable, "-c", code, "fit", "small.yaml", "model.kind=mine:Mine", "--quiet"]
    done = subprocess.run(
        words, cwd=place, env={"PYTHONPATH": root, "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "printed by a model" in done.stderr


def test_on_a_terminal_there_is_a_table(place):
    code = "from runs.cli import main; main()"
    words = [sys.executable, "-c", code, "fit", "small.yaml"]
    text = "\n".join(shown_on_a_terminal(100, words))
    for expected in (
        "small 6/6",
        "validation R2",
        "tokens/s",
        "experts",
        "all 6 steps are done",
        "step-0000000",
    ):
        assert expected in text


def test_the_schema_has_every_key_described():
    result = CliRunner().invoke(app, ["schema", "--fit"])
    schema = json.loads(result.stdout)
    assert {"run_name", "data", "model", "optim", "sched", "eval"} <= set(schema["properties"])
    assert schema["$defs"]["OptimConfig"]["properties"]["lr_main"]["description"]
    told = CliRunner().invoke(app, ["schema", "--fit", "--family", "flow"])
    assert (told.exit_code, told.stderr.startswith("plasmodia: --family is of a run's")) == (CONFIG, True)


def test_help_names_the_presets():
    text = "".join(CliRunner().invoke(app, ["fit", "--help"]).stdout.split())  # which breaks lines at hyphens
    assert all(name in text for name in presets())
