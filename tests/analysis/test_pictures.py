import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis import pictures
from analysis.rendering import FORMATS, NothingToDraw
from archive_store.errors import StoreError
from archive_store.reading import Run, open_run
from tests.fixtures.synthetic_run import write_run


def chunks(png: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found[png[at + 4 : at + 8]] = png[at + 8 : at + 8 + length]
        at += length + 12
    return found


@pytest.fixture(scope="module")
def drawn(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pictures.draw(folder)}


@pytest.mark.long
def test_all_kinds_are_drawn_by_default(folder: Path, drawn: dict[str, bytes]) -> None:
    assert list(drawn) == [f"{kind}.png" for kind in pictures.KINDS]
    assert {path.name for path in (folder / "plots").glob("*.png")} == set(drawn)
    assert not list((folder / "plots").glob(".*"))


def test_one_that_fails_keeps_no_other_from_being_drawn(folder: Path, tmp_path: Path) -> None:
    told = []

    def broken(run: Run, figure: Figure) -> None:
        raise ZeroDivisionError

    def failed(kind: str, error: Exception) -> None:
        told.append((kind, type(error)))

    place, more = tmp_path / "other" / "place", {"broken": broken}
    drawn = pictures.draw(folder, ["broken", "progress"], more=more, folder=place, failed=failed)
    assert (drawn, told) == ([place / "progress.png"], [("broken", ZeroDivisionError)])
    with pytest.raises(ZeroDivisionError):
        pictures.draw(folder, ["broken"], more=more)


@pytest.mark.parametrize("kind", pictures.KINDS)
def test_pictures_are_1200_pixels_wide_and_say_nothing_of_the_software(
    kind: str, drawn: dict[str, bytes]
) -> None:
    found = chunks(drawn[f"{kind}.png"])
    assert struct.unpack(">I", found[b"IHDR"][:4]) == (1200,)
    assert set(found) <= {b"IHDR", b"IDAT", b"IEND", b"pHYs"}


@pytest.mark.parametrize("kind", pictures.KINDS)
def test_nothing_leaves_the_picture_or_runs_into_its_title(kind: str, own: Run, figure: Figure) -> None:
    check_that_nothing_leaves_the_picture(kind, own, figure)


@pytest.mark.parametrize("kind", ["coverage", "parallel", "validity"])
def test_nothing_leaves_the_picture_of_any_number_of_measures(kind: str, sized: Run, figure: Figure) -> None:
    check_that_nothing_leaves_the_picture(kind, sized, figure)


def check_that_nothing_leaves_the_picture(kind: str, run: Run, figure: Figure) -> None:
    named = dataclasses.replace(run, config=run.config | {"name": "a-$long$_name." * 6})
    pictures.KINDS[kind](named, figure)
    figure.draw_without_rendering()
    title, *notes = sorted((text.get_window_extent() for text in figure.texts), key=lambda box: -box.y1)
    assert all(box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in [title, *notes])
    for panel in figure.axes:
        box = panel.get_tightbbox()
        if box is not None:
            assert box.x0 >= 0
            assert box.y0 >= max([0, *(note.y1 for note in notes)])
            assert box.x1 <= figure.bbox.x1
            assert box.y1 <= title.y0


@pytest.mark.parametrize("kind", pictures.KINDS)
def test_the_same_run_gives_the_same_bytes(kind: str, run: Run, drawn: dict[str, bytes]) -> None:
    picture = pictures.KINDS[kind]
    assert pictures.render(run, picture, "png") == drawn[f"{kind}.png"]
    assert pictures.render(run, picture, "svg") == pictures.render(run, picture, "svg")


def test_the_heatmap_of_two_measures_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", organisms=1, rounds=5, cells=24, measures=["mine:reach", "mine:pace"]
    )
    for format in FORMATS:
        once, again = (pictures.draw(folder, ["coverage"], format)[0].read_bytes() for _ in range(2))
        assert once == again


def test_settings_of_the_user_change_nothing(run: Run, drawn: dict[str, bytes]) -> None:
    with matplotlib.rc_context({"font.size": 20.0, "axes.grid": False, "savefig.dpi": 50}):
        assert pictures.render(run, pictures.KINDS["progress"], "png") == drawn["progress.png"]
        assert matplotlib.rcParams["font.size"] == 20.0


def test_another_process_gives_the_same_bytes(folder: Path, run: Run) -> None:
    program = (
        "import sys; from analysis.pictures import KINDS, render; from archive_store.reading import open_run;"
        "sys.stdout.buffer.write(render(open_run(sys.argv[1]), KINDS['lineage'], 'svg'))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "error", "-c", program, str(folder)]
    result = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert result.stdout == pictures.render(run, pictures.KINDS["lineage"], "svg")


def test_svg_is_well_formed_and_undated(folder: Path) -> None:
    (path,) = pictures.draw(folder, ["validity"], "svg")
    assert path == folder / "plots" / "validity.svg"
    text = path.read_text()
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<dc:date>" not in text
    assert "Matplotlib v" not in text


@pytest.mark.long
def test_one_organism_of_a_live_run_has_every_picture(tmp_path: Path) -> None:
    options = {"organisms": 1, "rounds": 4, "cells": 16, "kinds": ["sine"]}
    paths = pictures.draw(write_run(tmp_path / "run", finished=False, **options))
    assert [path.stem for path in paths] == list(pictures.KINDS)


STRANGE = ("$x^{$", "under 5$_or_6$", "\U00020000\x1b[31m\ud800", "a " * 4000, "<b>&amp;</b>--", "")


def test_names_of_users_are_no_formulas_and_no_more_than_names(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", organisms=1, rounds=3, cells=16, kinds=STRANGE, finished=False)
    run = dataclasses.replace(open_run(folder), config=open_run(folder).config | {"name": STRANGE[3]})
    for kind, picture in pictures.KINDS.items():
        data = pictures.render(run, picture, "svg")
        assert len(data) < 2_000_000, kind
        ElementTree.fromstring(data)


def test_a_label_with_dollars_is_drawn_as_it_is_written(figure: Figure, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", organisms=1, rounds=3, cells=16, kinds=("under 5$_or_6$", "b"))
    pictures.KINDS["utilisation"](open_run(folder), figure)
    texts = [text for text in figure.findobj(Text) if text.get_text() == "under 5$ or 6$"]
    assert texts
    assert not any(text.get_parse_math() for text in texts)


def test_rounds_without_an_elite_can_be_drawn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", organisms=1, rounds=1, cells=16)
    assert len(pictures.draw(folder, ["progress", "lifecycle"])) == 2


def test_a_run_that_is_only_calibrated_has_every_picture_but_two(tmp_path: Path) -> None:
    paths = pictures.draw(write_run(tmp_path / "run", rounds=0, cells=16, finished=False))
    drawn = [path.stem for path in paths]
    assert drawn == [kind for kind in pictures.KINDS if kind not in ("utilisation", "trials")]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, pictures.Picture]:
    """As if there were these kinds only."""
    kinds = {kind: pictures.KINDS[kind] for kind in ("progress", "utilisation")}
    monkeypatch.setattr(pictures, "KINDS", kinds)
    return kinds


def test_a_family_whose_components_answer_every_token_has_no_utilisation(tmp_path: Path, few: object) -> None:
    folder = write_run(tmp_path / "run", organisms=1, rounds=2, cells=16)
    with pytest.raises(NothingToDraw, match="run has no utilisation to draw: no finished round, or"):
        pictures.draw(folder, ["progress", "utilisation"])
    assert not (folder / "plots").exists()
    assert [path.stem for path in pictures.draw(folder)] == ["progress"]


def test_further_pictures_are_drawn_if_they_have_something_to_show(
    folder: Path, few: dict[str, pictures.Picture]
) -> None:
    def nothing(run: Run, figure: Figure) -> None:
        raise NothingToDraw("there is nothing")

    more = {"empty": nothing, "again": few["progress"]}
    assert [path.stem for path in pictures.draw(folder, more=more)] == [*few, "again"]
    (path,) = pictures.draw(folder, ["again"], more=more)
    assert path.read_bytes() == (folder / "plots" / "progress.png").read_bytes()
    path.unlink()
    with pytest.raises(NothingToDraw, match="there is nothing"):
        pictures.draw(folder, ["empty"], more=more)


@pytest.mark.parametrize(
    ("kinds", "format", "message"),
    [
        (
            ["progress", "coverge"],
            "png",
            "there is no picture 'coverge': known are .*; the nearest is 'coverage'",
        ),
        (None, "pdf", "there is no format 'pdf': known are png, svg; the nearest is"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_drawn(
    kinds: list[str] | None, format: str, message: str, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "run", organisms=1, rounds=1, cells=8)
    with pytest.raises(ValueError, match=message):
        pictures.draw(folder, kinds, format)
    assert not (folder / "plots").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no run"):
        pictures.draw(tmp_path)


def test_a_failed_write_leaves_the_old_picture(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("plots"))
    (copy / "plots").mkdir()
    old = copy / "plots" / "progress.png"
    old.write_bytes(b"old")

    def fail(partial: Path, path: Path) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match=r"progress.png cannot be written: disk is full"):
        pictures.draw(copy, ["progress"])
    assert old.read_bytes() == b"old"
    assert list((copy / "plots").iterdir()) == [old]
