"""A run as a notebook shows it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archive_store.frames.notebook import as_html, table
from archive_store.reading import open_run
from tests.fixtures.growing import Growing
from tests.fixtures.pages import Page
from tests.fixtures.synthetic_run import write_run

BAD = "<script>alert(1)</script>\"'&\u202e"


def test_it_says_how_far_the_run_is_and_what_it_came_to(run):
    found = Page(run._repr_html_())
    cells = ["".join(texts) for name, _, texts in found.elements if name in ("th", "td")]
    last = run.rounds().iloc[-1]
    for label, value in (
        ("task and family", "digits, pseudopods"),
        ("seed", "0"),
        ("rounds", "12 of 12"),
        ("coverage", f"{last['coverage']:.1%}"),
        ("QD score", f"{last['qd_score']:.3f}"),
        ("validation score of the best organism", f"{last['best_validation_score']:.4f}"),
        ("digest", f"{run.digest()[:16]}..."),
    ):
        assert cells[cells.index(label) + 1] == value
    assert [text for _, text in found.all("p")] == [": a run, finished"]


def test_the_best_elites_are_listed_the_best_first(run):
    found = Page(as_html(run))
    elites = run.elites().sort_values(["objective", "cell"], ascending=[False, True])
    names = [text for attributes, text in found.all("th")]
    assert names[-10:] == list(elites["component"][:10])
    (caption,) = found.all("caption")
    assert caption[1].startswith(f"The best 10 of {len(elites)} elites")


def test_a_run_that_goes_on_says_its_state_and_one_without_elites_says_so(synthetic, tmp_path):
    driver = Growing(synthetic, tmp_path / "live")
    assert ": a run, running" in as_html(open_run(tmp_path / "live"))
    assert "The archive is empty." in as_html(open_run(tmp_path / "live"))
    driver.commit(3)
    assert "3 of 12" in as_html(open_run(tmp_path / "live"))
    driver.crash()
    assert ": a run, crashed" in as_html(open_run(tmp_path / "live"))


def test_a_damaged_run_is_a_sentence(tmp_path):
    run = open_run(write_run(tmp_path / "run", organisms=1, rounds=2, cells=8))
    (tmp_path / "run" / "journal.sqlite").write_bytes(b"nonsense")
    found = Page(run._repr_html_())
    assert [name for name, _, _ in found.elements] == ["p"]
    assert "cannot be used" in found.all("p")[0][1]


def test_no_name_in_a_run_is_more_than_a_text(tmp_path):
    def shown(place, name):
        path = write_run(
            tmp_path / place / name,
            organisms=2,
            rounds=4,
            cells=16,
            finished=False,
            measures=[f"mine:{name}", "mine:b"],
        )
        config = yaml.safe_load((path / "config.yaml").read_text())
        config |= {"task": {"name": name}, "organism": {"kind": name}, "seed": name, "rounds": name}
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        return Page(as_html(open_run(path)))

    wild = shown("wild", BAD.replace("/", ""))
    assert wild.structure == shown("tame", "x").structure
    assert "script" not in [name for name, _, _ in wild.elements]


@pytest.mark.parametrize("text", [BAD, "a\nb", "\ud800"])
def test_a_table_has_texts_alone(text):
    found = Page(table((text, text), [(text, text)], text))
    assert found.structure == Page(table(("a", "b"), [("c", "d")], "e")).structure


def test_nothing_heavy_is_loaded_to_define_it():
    code = "import sys, archive_store.frames.notebook; print(sorted({'pandas', 'ribs', 'torch'} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
