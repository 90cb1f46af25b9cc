"""A run of journal format 2, whose options of the family lay in the section organism itself, and what works with it."""

import tarfile
from pathlib import Path

import pytest

from archive_store.reading import open_run
from archive_store.verification import verify
from runs import replay
from runs.errors import RunError
from runs.resume import resume
from tests.fixtures.small_runs import files
from tests.runs.test_cli import call

STORED = Path(__file__).parents[1] / "fixtures" / "run_of_format_2.tar.xz"
DIGEST = "ec1f7917101ae4e133ada56fc204da45632b7489e502f157e047a5660c6a7fcc"


@pytest.fixture
def older(tmp_path):
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "older"


@pytest.mark.long
def test_it_is_shown_drawn_verified_and_its_digest_is_checked(older):
    shown = call("show", older).stdout
    assert f"digest                     {DIGEST}" in shown
    assert "births                     4" in shown
    assert call("digest", older).stdout == f"{DIGEST}\n"
    assert verify(older).problems == ()
    drawn = call("plot", older)
    assert drawn.exit_code == 0, drawn.stderr
    kinds = ["coverage", "progress", "parallel", "lifecycle", "lineage", "validity"]
    assert drawn.stdout.split() == [str(older / "plots" / f"{kind}.png") for kind in kinds]
    decisions = open_run(older).decisions()
    assert list(decisions.loc[decisions["happens"], "operator"]) == [
        "line",
        "bootstrap",
        "bootstrap",
        "bootstrap",
    ]


def test_it_is_not_made_again_or_its_predictions_in_one_sentence_and_nothing_is_changed(older):
    before = files(older)
    message = (
        r"has the content of format 2 and this version works with format 4; use the version that launched it"
    )
    for again in (lambda: replay.replay(older, None, {}), lambda: replay.decisions(older)):
        with pytest.raises(RunError, match=message):
            again()
    drawn = call("plot", older, "--kind", "predictions")
    assert drawn.exit_code == 2
    assert "has the content of format 2" in drawn.stderr
    assert files(older) == before


def test_one_that_is_unfinished_is_not_gone_on_with(older):
    (older / "manifest.json").unlink()
    before = files(older)
    with pytest.raises(RunError, match="has the content of format 2"):
        resume(older, {})
    assert {name: data for name, data in files(older).items() if name in before} == before
