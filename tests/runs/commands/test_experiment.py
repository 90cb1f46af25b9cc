"""The commands `plasmodia experiment` and `plasmodia compare`, as they are typed."""

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from runs.cli import app
from runs.commands.experiment import joined
from runs.experiments.folder import ExperimentFolder
from tests.fixtures.experiments import SHORTER
from tests.fixtures.small_runs import digests, files


def plasmodia(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment of two arms and two seeds, and what the command said."""
    folder = tmp_path_factory.mktemp("made") / "experiment"
    arms = ["--arm", "archive", "--arm", "none", "births=none", "lifecycle.enabled=false"]
    return folder, plasmodia(
        "experiment", "smoke", *SHORTER, *arms, "--seeds", "3,4", "--quiet", "--out", folder
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["a=1", "--arm", "x", "b=2", "c=3", "--seeds", "0:2"],
            ["a=1", "--arm", "x\nb=2\nc=3", "--seeds", "0:2"],
        ),
        (["--arm", "x", "--arm", "y", "b=2", "digits"], ["--arm", "x", "--arm", "y\nb=2", "digits"]),
        (["--arm", "x", "--out", "a=b"], ["--arm", "x", "--out", "a=b"]),
        (["--arm"], ["--arm"]),
    ],
)
def test_an_arm_takes_the_settings_that_follow_its_name(words, expected):
    assert joined(words) == expected


@pytest.mark.long
def test_an_experiment_ends_with_its_comparison_and_picture(made):
    folder, done = made
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "experiment",
        f"{folder}:",
        "2",
        "arms,",
        "2",
        "seeds,",
        "4",
        "finished",
        "runs",
    ]
    assert lines[2].split() == ["arm", "none", "births=none,", "lifecycle.enabled=False"]
    assert lines[-2:] == [f"{folder}/plots/curves.png", f"{folder}/plots/profiles.png"]
    assert (folder / "plots" / "curves.png").stat().st_size > 10_000
    assert {path.name for path in folder.iterdir()} == {
        *("experiment.yaml", "arms", "calibrations", "cells", "plots"),
    }


@pytest.mark.long
def test_the_same_command_again_does_nothing_more_and_says_the_same(made):
    folder, done = made
    before = {name: data for name, data in files(folder).items() if not name.startswith("plots")}
    arms = ["--arm", "archive", "--arm", "none", "births=none", "lifecycle.enabled=false"]
    again = plasmodia("experiment", "smoke", *SHORTER, *arms, "--seeds", "3,4", "--out", folder)
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    resumed = plasmodia("experiment", "resume", folder)
    assert (resumed.exit_code, resumed.stdout) == (0, done.stdout)
    assert {name: data for name, data in files(folder).items() if not name.startswith("plots")} == before


@pytest.mark.long
def test_show_compares_with_any_arm_and_speaks_json(made):
    folder, done = made
    shown = plasmodia("experiment", "show", folder)
    assert done.stdout.startswith(shown.stdout)
    other = json.loads(plasmodia("experiment", "show", folder, "--against", "none", "--json").stdout)
    assert other["against"] == "none"
    compared = [row["arm"] for row in other["comparison"] if row["difference"] is not None]
    assert set(compared) == {"archive"}
    wrong = plasmodia("experiment", "show", folder, "--against", "non")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert (
        wrong.stderr
        == "plasmodia: the experiment has no arm non; did you mean none? its arms: archive, none\n"
    )


@pytest.mark.long
def test_speed_is_measured_when_asked_and_printed_from_then_on(made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "copy")
    timed = plasmodia("experiment", "show", folder, "--speed")
    assert timed.exit_code == 0, timed.stderr
    assert (
        "measured time of the best network, as a ratio\n  archive  2      1.000 [1.000, 1.000]"
        in timed.stdout
    )
    assert plasmodia("experiment", "show", folder).stdout == timed.stdout


def test_more_is_asked_in_a_process_of_its_own(made):
    """Here arithmetic is made repeatable before all tests; there it has to be before torch is loaded."""
    command = [sys.executable, "-m", "runs.cli", "experiment", "show", made[0], "--also", "placement"]
    asked = subprocess.run(command, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    assert "placement of the orders of none on 2 devices, simulated" in asked.stdout


def test_what_is_shown_loads_no_torch(made):
    """Which takes longer than all that is read."""
    code = "import sys; from runs.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, "experiment", "show", made[0]]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "QD score" in shown.stdout


@pytest.mark.long
def test_more_is_asked_when_wanted_and_degradation_is_shown_from_then_on(made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "copy")
    asked = plasmodia("experiment", "show", folder, "--also", "degradation", "--also", "placement")
    assert asked.exit_code == 0, asked.stderr
    assert "mean test accuracy while parts go, at random\n  archive  2 " in asked.stdout
    assert "placement of the orders of none on 2 devices, simulated" in asked.stdout
    again = json.loads(plasmodia("experiment", "show", folder, "--json").stdout)
    kept = [row["arm"] for row in again["comparison"] if row["metric"] == "removable" and row["mean"]]
    assert set(kept) <= {"archive", "none"}
    assert all("degradation_random" in run for runs in again["results"].values() for run in runs.values())
    assert again["studies"] == {}
    drawn = plasmodia("experiment", "plot", folder).stdout.splitlines()
    assert drawn[-1] == f"{folder}/plots/degradation.png"
    page = tmp_path / "page.html"
    assert plasmodia("report", folder, "--out", page).exit_code == 0
    text = page.read_text()
    assert "Performance profiles" in text
    assert "Parts removed: the least useful first" in text


def test_a_picture_can_be_drawn_elsewhere(made, tmp_path):
    drawn = plasmodia("experiment", "plot", made[0], "--format", "svg", "--to", tmp_path)
    assert (drawn.exit_code, drawn.stdout) == (0, f"{tmp_path}/curves.svg\n{tmp_path}/profiles.svg\n")
    assert plasmodia("experiment", "plot", made[0], "--format", "pdf").exit_code == 2


@pytest.mark.long
def test_a_run_that_cannot_go_on_is_named_in_the_end(made, tmp_path):
    folder = ExperimentFolder(shutil.copytree(made[0], tmp_path / "copy"))
    shutil.rmtree(folder.cell("none", 3))
    folder.cell("none", 3).mkdir()
    shutil.rmtree(folder.cell("none", 4))
    done = plasmodia("experiment", "resume", folder.path)
    assert done.exit_code == 1
    assert "not finished: none, seed 3" in done.stdout
    assert "all is done but for what cannot go on:\n  none, seed 3: " in done.stderr
    assert digests(folder.cell("none", 4)) == digests(made[0] / "cells" / "none" / "4")


@pytest.mark.long
def test_compare_does_the_same_for_runs(made):
    cells = [made[0] / "cells" / arm / seed for arm in ("archive", "none") for seed in ("3", "4")]
    done = plasmodia("compare", *cells)
    assert done.exit_code == 0, done.stderr
    assert "arm births=none, lifecycle.enabled=False" in done.stdout
    of_experiment, of_runs = (
        json.loads(plasmodia(*words, "--json").stdout)
        for words in (("experiment", "show", made[0]), ("compare", *cells))
    )
    means = [
        [row["mean"]["value"] for row in each["comparison"] if row["mean"]]
        for each in (of_experiment, of_runs)
    ]
    assert means[0] == means[1]


def test_the_presets_are_listed_with_what_they_ask():
    done = plasmodia("experiment", "--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *("archive", "baseline", "degradation", "diversity", "efficiency", "lifecycle", "measures", "memory"),
        *("placement", "sources", "yoked"),
    ]
    assert "Does it help that parts are born from the archive?" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name an experiment (archive, "),
        (["smoke", "--arm", "a", "--arm", "a", "births=none"], "two arms are called a; rename one"),
        (["smoke", "--arm", "a", "--seeds", "3:1"], "seeds are 3:1, which holds none"),
        (["smoke", "--arm", "a", "seed=3"], "arm a sets seed, but seeds name the seeds of all arms"),
        (
            ["smoke", "--arm", "a", "calibration.from=x"],
            "arm a sets calibration.from, but the arms of a seed share",
        ),
        (["smoke", "--arm", "a/b"], "an arm's name becomes that of a folder"),
        (["smoke", "--arm", "a", "rouns=3"], "rouns: unknown key; did you mean rounds"),
        (["smoke", "--arm", "a", "b="], "b: unknown key"),
        (["smoke", "--arm", "a", "--full"], "--full is of presets and files"),
        (["archiv"], "did you mean archive"),
        (["smoke"], "smoke is a configuration and no experiment; give arms"),
        (["archive", "rouns=3"], "rouns: unknown key; did you mean rounds"),
        (["smoke", "--arm", "a", "--arm", "b", "yoke=c"], "arm b is yoked to c, which is no arm; arms: a, b"),
        (
            ["show", ".", "--also", "degradtion"],
            "called degradtion; did you mean degradation? known: degradation, p",
        ),
        (["show", "."], "is no experiment: it has no experiment.yaml"),
        (["resume", "."], "is no experiment: it has no experiment.yaml"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_nothing_is_written(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = plasmodia("experiment", *(words or ["run"]))
    assert done.exit_code == 2, done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_is_left_as_it_is(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    done = plasmodia("experiment", "smoke", "--arm", "a", "--out", tmp_path / "taken")
    assert (done.exit_code, "exists already and holds no run" in done.stderr) == (2, True)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["file"]
