"""The command `plasmodia report`, as it is typed."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archive_store.reading import open_run
from runs.cli import app
from runs.errors import ConfigError
from runs.experiments.folder import ExperimentFolder
from runs.experiments.page import page
from runs.results.rows import rows
from runs.results.summary import summarise
from tests.fixtures.experiments import carried_out, planned_small
from tests.fixtures.pages import Page, parsed
from tests.fixtures.small_runs import copied, files
from tests.fixtures.synthetic_run import write_run

OLDER = Path(__file__).parents[2] / "fixtures" / "run_of_format_2.tar.xz"


def report(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def read(path: Path) -> Page:
    return parsed(path.read_bytes())


def cells(found: Page) -> list[str]:
    return ["".join(texts) for name, _, texts in found.elements if name in ("th", "td")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp("report") / "run", organisms=2, rounds=5, cells=16, kinds=["a", "b"]
    )


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """An experiment that has not begun."""
    folder = ExperimentFolder(tmp_path_factory.mktemp("planned") / "experiment")
    folder.create(planned_small())
    return folder


def test_the_page_lies_in_the_run_and_its_path_is_all_of_stdout(run, tmp_path):
    own = copied(run, tmp_path)
    before = files(own)
    done = report(own)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{own}/report.html\n", "")
    after = files(own)
    first = after.pop("report.html")
    assert after == before
    assert report(own).exit_code == 0
    assert (own / "report.html").read_bytes() == first


def test_the_run_stays_intact_and_other_readers_do_not_mind_the_page(run, tmp_path):
    own = copied(run, tmp_path)
    report(own)
    assert CliRunner().invoke(app, ["verify", str(own)]).exit_code == 0


def test_the_page_says_what_show_says(run, tmp_path):
    report(run, "-o", tmp_path / "new" / "page.html")
    found = read(tmp_path / "new" / "page.html")
    texts = cells(found)
    for label, value in rows(summarise(run)):
        if label not in ("", "run", "emitters", "because"):
            assert texts[texts.index(label) + 1] == value
    assert str(run) not in (tmp_path / "new" / "page.html").read_text()


def test_a_page_is_replaced_and_nothing_else_is(run, tmp_path):
    place = tmp_path / "page.html"
    report(run, "-o", place)
    assert report(run, "-o", place).exit_code == 0
    note = tmp_path / "note.html"
    note.write_text("mine")
    link = tmp_path / "link.html"
    link.symlink_to(place)
    for there, sentence in (
        (note, "exists and is no page of HTML, so that it is not replaced"),
        (tmp_path, "is a folder; give the name of a file"),
        (link, "is no plain file, and is not replaced"),
    ):
        done = report(run, "-o", there)
        assert (done.exit_code, done.stdout) == (2, "")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    assert note.read_text() == "mine"
    assert link.is_symlink()


def test_what_is_neither_a_run_nor_an_experiment_is_refused_in_one_sentence(tmp_path):
    done = report(tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"plasmodia: {tmp_path} is neither a run nor an experiment: it has no config.yaml and no experiment.yaml; "
        "give a folder that `plasmodia launch` or `plasmodia experiment` made\n"
    )
    done = report(tmp_path / "nowhere")
    assert done.exit_code == 2
    assert "there is no folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_arm_to_compare_with_is_of_experiments_and_is_there(run, planned, tmp_path):
    done = report(run, "--against", "x", "-o", tmp_path / "page.html")
    assert done.exit_code == ConfigError.exit_status
    assert "--against is of experiments" in done.stderr
    done = report(planned.path, "--against", "archiv", "-o", tmp_path / "page.html")
    assert done.exit_code == ConfigError.exit_status
    assert "has no arm archiv; did you mean archive?" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_finished_round_has_none(tmp_path):
    own = write_run(tmp_path / "run", organisms=1, rounds=0, finished=False)
    done = report(own)
    assert done.exit_code == 1
    assert "has no finished round yet" in done.stderr
    assert not (own / "report.html").exists()


def test_a_place_that_cannot_be_written_is_told(run, tmp_path):
    (tmp_path / "file").write_text("")
    done = report(run, "-o", tmp_path / "file" / "page.html")
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr


def test_a_run_of_the_older_format_has_a_page(tmp_path):
    with tarfile.open(OLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    done = report(tmp_path / "older")
    assert (done.exit_code, done.stderr) == (0, "")
    found, elites = read(tmp_path / "older" / "report.html"), open_run(tmp_path / "older").elites()
    assert sorted(found.chart("elites")["names"]) == sorted(elites["component"])


def test_a_run_of_every_family_has_a_page(finished, tmp_path):
    done = report(finished, "-o", tmp_path / "page.html")
    assert (done.exit_code, done.stderr) == (0, "")
    found, elites = read(tmp_path / "page.html"), open_run(finished).elites()
    names = found.chart("elites")["names"] if len(elites) else []
    assert sorted(names) == sorted(elites["component"])


def test_an_experiment_that_has_not_begun_has_a_page_of_its_plan(planned):
    done = report(planned.path)
    assert (done.exit_code, done.stdout) == (0, f"{planned.path}/report.html\n")
    found = read(planned.path / "report.html")
    assert cells(found).count("not begun") == 4
    assert [text for _, text in found.all("p")].count("No run is finished yet.") == 2
    assert found.data["charts"] == []
    assert "births=none, lifecycle.enabled=False" in cells(found)


@pytest.mark.long
def test_the_page_of_an_experiment_has_the_table_of_show_and_leads_to_its_runs(tmp_path):
    folder = carried_out(tmp_path / "experiment", planned_small())
    shown = CliRunner().invoke(app, ["experiment", "show", str(folder.path), "--json"])
    assert report(folder.cell("archive", 0)).exit_code == 0
    assert report(folder.path).exit_code == 0
    found = read(folder.path / "report.html")
    links = [attributes["href"] for attributes, _ in found.all("a") if not attributes["href"].startswith("#")]
    assert links == ["cells/archive/0/report.html", "cells/archive/1", "cells/static/0", "cells/static/1"]
    texts = cells(found)
    for row in json.loads(shown.stdout)["comparison"]:
        if row["metric"] == "coverage" and row["arm"] == "archive":
            mean = row["mean"]
            assert f"{mean['value']:.4f} [{mean['low']:.4f}, {mean['high']:.4f}]" in texts
    charts = {chart["title"]: chart for chart in found.data["charts"]}
    titles = list(charts)
    curves = titles.index("Validation loss over rounds")
    assert titles[curves + 1] == "Validation loss over counted FLOPs"
    assert all(title.startswith("Seeds above ") for title in titles[:curves])
    first = charts[titles[curves]]["series"][0]
    runs = [open_run(folder.cell("archive", seed)) for seed in (0, 1)]
    losses = [run.census().groupby("round")["validation_loss"].mean() for run in runs]
    assert first["y"] == pytest.approx(list(sum(losses) / 2), rel=1e-5)
    assert page(folder, folder.plan(), "archive", folder.path) == (folder.path / "report.html").read_bytes()
    shutil.rmtree(folder.cell("static", 1))
    assert report(folder.path, "-o", tmp_path / "a b" / "page.html").exit_code == 0
    found = read(tmp_path / "a b" / "page.html")
    assert found.all("a")[-1][0]["href"] == "../experiment/cells/static/0"
    assert "not begun" in cells(found)
