import dataclasses

import pytest

from archive_store.errors import NoRunError
from runs.errors import ConfigError, RunError
from runs.experiments.report import as_html, table
from runs.experiments.runs_compared import compared_runs
from tests.fixtures.pages import Page
from tests.fixtures.small_runs import copied, launched, older


@pytest.fixture(scope="module")
def cells(done):
    return [done.cell(arm, seed) for arm in ("archive", "static") for seed in (0, 1)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, done):
    """The first cell's configuration with a calibration of its own of other steps."""
    from runs.config.reader import load
    from runs.launch import launch

    config = load(str(done.arm_path("archive")), ["calibration.steps=14", "name=another"])
    return launch(config, tmp_path_factory.mktemp("alone") / "run")


def test_runs_are_grouped_by_what_differs_apart_from_the_seed(cells):
    report = compared_runs(cells)
    names = ["births=archive, lifecycle.enabled=True", "births=none, lifecycle.enabled=False"]
    assert list(report.arms) == names
    assert report.arms[names[1]] == {"births": "none", "lifecycle.enabled": False}
    assert {arm: sorted(runs) for arm, runs in report.results.items()} == {name: [0, 1] for name in names}
    assert (report.against, report.notes) == (names[0], ())
    assert "difference from births=archive, lifecycle.enabled=True" in table(report)


def test_a_notebook_shows_a_comparison_as_tables_of_texts_alone(cells):
    report = compared_runs(cells)
    found = Page(report._repr_html_())
    captions = [text for _, text in found.all("caption")]
    assert "QD score" in captions
    heads = [text for _, text in found.all("th")]
    assert heads.count(f"difference from {report.against}") == len(captions)
    bad = dataclasses.replace(report, notes=("<script>alert(1)</script>",), score="<b>'\"")
    assert "script" not in [name for name, _, _ in Page(as_html(bad)).elements]
    assert (
        Page(as_html(bad)).structure
        == Page(as_html(dataclasses.replace(bad, notes=("x",), score="y"))).structure
    )


def test_each_run_can_be_an_arm(cells):
    report = compared_runs(cells[:2], each=True)
    assert list(report.arms) == [str(path) for path in cells[:2]]
    assert report.notes == ("no seed is in two arms, so that no differences of pairs can be taken",)


def test_seeds_that_were_measured_with_other_rulers_are_told(cells, alone):
    report = compared_runs([cells[0], cells[1], alone])
    assert list(report.arms) == ["calibration.steps=12", "calibration.steps=14"]
    assert [note.partition(",")[0] for note in report.notes] == [
        "the runs of seed 0 have different calibrations"
    ]


def test_what_cannot_be_compared_is_one_sentence(cells, tmp_path, done):
    with pytest.raises(ConfigError, match="a comparison needs two runs at least"):
        compared_runs(cells[:1])
    with pytest.raises(
        ConfigError, match=r"are of the same settings and seed; leave one of them out, or .* --each"
    ):
        compared_runs([cells[0], cells[0]])
    with pytest.raises(ConfigError, match="a run is given twice"):
        compared_runs([cells[0], cells[0]], each=True)
    with pytest.raises(ConfigError, match="is not finished; go on with it by plasmodia resume"):
        compared_runs([cells[0], done.calibration("archive", 0)])
    with pytest.raises(NoRunError, match="is no run"):
        compared_runs([cells[0], done.path])


def test_other_data_and_other_formats_are_refused(cells, tmp_path):
    other = launched(tmp_path / "other", "rounds=1", "task.examples=96")
    with pytest.raises(
        ConfigError, match=r"cannot be compared: their tasks hold other data \(digits, digits\)"
    ):
        compared_runs([cells[0], other])
    with pytest.raises(RunError, match=r"has the content of format .* and this version works with format"):
        compared_runs([cells[0], older(copied(cells[1], tmp_path))])
