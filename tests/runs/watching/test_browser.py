"""What a reader of a run that goes on sees and does, in a browser: pages that change while they are used."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from runs.machine.sockets import listening
from runs.watching import pages
from runs.watching.folder import SEARCH, Watched
from runs.watching.requests import LOOPBACK
from runs.watching.server import served
from tests.fixtures.browser import browser
from tests.fixtures.growing import Growing
from tests.fixtures.pages import needs_browser

AXE = os.environ.get("PLASMODIA_AXE")  # path of axe.min.js, of the package axe-core
pytestmark = [needs_browser, pytest.mark.long]
BAD = "<script>document.title='run'<|script>\"'&\u202e"  # as a folder can be called


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser, which the tests of this file share."""
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def window(chromium):
    """The browser with a window of the test's own."""
    chromium.renew()
    return chromium


@contextmanager
def watching(place, monkeypatch):
    """The runs of a folder and where they are shown; every page may be made at once."""
    monkeypatch.setattr(pages, "SHARE", 1e9)
    watched, faults = Watched(place), []
    with listening("127.0.0.1", 0) as bound, served(watched, bound, LOOPBACK, faults.append) as address:
        yield watched, address
    assert faults == []


def text(selector):
    return f"document.querySelector({json.dumps(selector)}).textContent"


def row(name):
    """The row of a run in the list, as an expression."""
    found = "[...document.querySelectorAll('tbody tr')].find((row) => row.querySelector('a').textContent === "
    return f"{found}{json.dumps(name)})"


def names(window):
    return window.value("[...document.querySelectorAll('tbody th')].map((each) => each.textContent)")


def test_the_page_of_a_run_takes_its_rounds_as_they_come_and_keeps_what_the_reader_has_set(
    growing, monkeypatch, window
):
    growing.commit(2)
    with watching(growing.place, monkeypatch) as (watched, address):
        window.open(address)
        window.until(f"{text('.progress')} === ' round 4 of 8'")
        assert window.value(text(".badge")) == "\u25b6 running"
        window.value(
            """(() => {
              const figure = document.querySelector("figure.elites");
              const [across, up, by] = figure.querySelectorAll("select");
              for (const [select, value] of [[across, "2"], [up, "3"], [by, "lineages"]]) {
                select.value = value;
                select.dispatchEvent(new Event("change"));
              }
              const field = figure.querySelectorAll("input")[0];
              field.value = "0.2";
              field.dispatchEvent(new Event("change"));
              const line = document.querySelector("figure.lines > svg");
              line.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
              const table = document.querySelector(".wide.long");
              table.style.maxHeight = "60px";
              table.scrollTop = 15;
              by.focus({ preventScroll: true });
              window.kept = [figure, across, document.querySelector("main"), table, line];
              window.reads = line.parentElement.querySelector("output").textContent;
              window.before = figure.querySelector("caption").textContent;
              document.querySelector("#lineage").scrollIntoView({ behavior: "instant" });
              window.seen = document.querySelector("#lineage h2").getBoundingClientRect().top;
            })()"""
        )
        growing.commit(2)
        watched.look()
        window.until(f"{text('header p')} === 'A run of Plasmodia after round 6, not finished.'")
        after = window.value(
            """(() => {
              const figure = document.querySelector("figure.elites");
              const [across, up, by] = figure.querySelectorAll("select");
              const line = document.querySelector("figure.lines > svg");
              return {
                same: [figure, across, document.querySelector("main"), document.querySelector(".wide.long"), line]
                  .map((each, place) => each === window.kept[place]),
                set: [across.value, up.value, by.value, figure.querySelectorAll("input")[0].value],
                reads: line.parentElement.querySelector("output").textContent === window.reads,
                focus: document.activeElement === by,
                place: document.querySelector("#lineage h2").getBoundingClientRect().top - window.seen,
                table: document.querySelector(".wide.long").scrollTop,
                captions: [window.before, figure.querySelector("caption").textContent],
              };
            })()"""
        )
        assert after["same"] == [True] * 5
        assert after["set"] == ["2", "3", "lineages", "0.2"]
        assert (after["reads"], after["focus"], after["table"]) == (True, True, 15)
        assert abs(after["place"]) < 2
        assert after["captions"][0] != after["captions"][1]
        growing.commit(2)
        growing.finish()
        watched.look()
        window.until(f"{text('.badge')} === '\u2713 finished'")
        window.until(f"{text('header p')} === 'A run of Plasmodia after round 8, finished.'")
        window.open("about:blank")
    assert window.said == []


def test_a_crash_a_resume_and_the_end_of_a_run_are_seen_and_the_page_outlives_them(
    growing, monkeypatch, window
):
    with watching(growing.place, monkeypatch) as (watched, address):
        window.open(address)
        window.until(f"{text('.badge')} === '\u25b6 running'")
        for act, state in (
            (growing.crash, "\u2717 crashed"),
            (growing.begin, "\u25b6 running"),
            (growing.stop, "\u275a\u275a stopped"),
            (lambda: shutil.rmtree(growing.place), "\u2205 gone"),
        ):
            act()
            for _ in range(SEARCH):
                watched.look()
            window.until(f"{text('.badge')} === {json.dumps(state)}")
        assert window.value(text("p.why")) == "The run is no longer there; what was known of it stays here."
        assert window.value("document.querySelectorAll('figure').length") > 5
    window.until(f"{text('.connection')} === 'not connected; trying again'")


def test_runs_of_a_folder_come_and_go_are_sorted_filtered_and_compared(
    growing, whole, monkeypatch, window, tmp_path
):
    out = growing.place.parent
    for name in ("b", "a10", "a9"):
        shutil.copytree(whole, out / name)
    with watching(out, monkeypatch) as (watched, address):
        window.open(address)
        window.until("document.documentElement.dataset.compared === '4'")
        assert names(window) == ["a9", "a10", "b", "run"]
        assert window.value(f"{row('run')}.querySelector('.progress').textContent") == " round 2 of 8"
        fresh = Growing(whole, out / "new", rounds=3)
        for _ in range(SEARCH):
            watched.look()
        window.until(row("new"))
        window.value(f"{row('new')}.querySelector('input').click()")
        window.until("document.documentElement.dataset.compared === '5'")
        entries = "document.querySelectorAll('#comparison figure')[2].querySelectorAll('.legend li')"
        legend = window.value(f"[...{entries}].map((each) => each.textContent)")
        assert sorted(legend) == ["a10", "a9", "b", "new", "run"]
        fresh.commit(2)
        watched.look()
        window.until(f"{row('new')}.querySelector('.progress').textContent === ' round 5 of 8'")
        assert window.value("document.querySelectorAll('#comparison figure').length") == 3
        fresh.stop()
        shutil.rmtree(fresh.place)
        watched.look()
        window.until(f"!{row('new')}")
        window.until("document.documentElement.dataset.compared === '4'")

        window.value("document.querySelector('thead button').click()")
        assert names(window) == ["run", "b", "a10", "a9"]
        assert window.value("document.querySelector('thead th[aria-sort=descending]').textContent") == "run"
        window.value(
            "[...document.querySelectorAll('thead button')].find((each) => each.textContent === 'progress').click()"
        )
        assert names(window)[-1] == "run"
        window.click("input[type=search]")
        for key in "Fin 10":
            window.press(key)
        assert names(window) == ["a10"]
        assert window.value(text("caption")) == "1 of 4 runs"
        window.value(f"{row('a10')}.querySelector('input').click()")
        window.until("document.documentElement.dataset.compared === '3'")
        window.value("window.stale = true; location.reload()")
        window.until("!window.stale && document.documentElement.dataset.compared === '3'")
        assert window.value("document.querySelector('input[type=search]').value") == "Fin 10"
        assert names(window) == ["a10"]
        window.open("about:blank")
    assert window.said == []


def test_nothing_runs_of_what_a_stranger_has_named(whole, monkeypatch, window, tmp_path):
    shutil.copytree(whole, tmp_path / "out" / BAD)
    config = tmp_path / "out" / BAD / "config.yaml"
    (tmp_path / "out" / BAD / "manifest.json").unlink()
    config.write_text(
        config.read_text()
        .replace("digits", json.dumps(BAD))
        .replace("name: synthetic", f"name: {json.dumps(BAD)}")
    )
    with watching(tmp_path / "out", monkeypatch) as (_, address):
        window.open(address)
        window.until("document.documentElement.dataset.compared === '1'")
        assert window.value("document.querySelectorAll('tbody a').length") == 1
        assert "<script>" in names(window)[0]
        window.open(address + window.value("document.querySelector('tbody a').getAttribute('href')"))
        window.until("document.querySelector('.badge')")
        assert window.value("document.title") != "run"
        assert window.value("document.querySelectorAll('script').length") == 2
        window.open("about:blank")
    assert window.said == []


def test_all_can_be_reached_by_keys_and_is_named_for_who_does_not_see_it(growing, monkeypatch, window):
    with watching(growing.place.parent, monkeypatch) as (_, address):
        window.open(address)
        window.until("document.documentElement.dataset.compared === '1'")
        at, reached = "document.activeElement", []
        for _ in range(30):
            window.press("Tab")
            reached.append(window.value(f"{at}.ariaLabel || {at}.textContent || {at}.labels[0].textContent"))
        assert reached[:3] == ["To the content", "Comparison", "Runs"]
        order = [
            "QD score; arrow keys read the values",
            "Show runs whose name, state, task, family or births hold",
            "Tick none",
            "Table of runs",
            "run",
            "state",
            "Compare run",
        ]
        places = [reached.index(each, 5) for each in order]
        assert places == sorted(places)
        window.value("document.querySelector('tbody input').focus()")
        window.press(" ")
        window.until("document.documentElement.dataset.compared === '0'")
        names_of_controls(window)
        window.open(address + window.value("document.querySelector('tbody a').getAttribute('href')"))
        window.until("document.querySelector('.badge')")
        names_of_controls(window)


def names_of_controls(window):
    """What a screen reader is told: every control has a name, and headings, regions and the state are there."""
    nodes = window.tree()
    roles = {node["role"]["value"] for node in nodes}
    assert {"banner", "navigation", "main", "heading", "status", "progressbar", "table"} <= roles
    controls = {
        "button",
        "link",
        "checkbox",
        "searchbox",
        "combobox",
        "spinbutton",
        "progressbar",
        "image",
        "region",
    }
    nameless = [
        node["role"]["value"] for node in nodes
        if node["role"]["value"] in controls and not node.get("name", {}).get("value")
    ]  # fmt: skip
    assert nameless == []


def test_by_day_and_by_night_the_page_has_colours_of_its_own(growing, monkeypatch, window):
    with watching(growing.place, monkeypatch) as (_, address):
        window.open(address)
        grounds = []
        for scheme in ("light", "dark"):
            window.media(prefers_color_scheme=scheme)
            grounds.append(window.value("getComputedStyle(document.documentElement).backgroundColor"))
            stroke = window.value(
                "getComputedStyle(document.querySelector('figure.lines > svg > line')).stroke"
            )
            assert stroke not in ("none", grounds[-1])
        window.media(prefers_color_scheme="light")
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]


@pytest.mark.skipif(AXE is None, reason="PLASMODIA_AXE names no axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(scheme, growing, monkeypatch, window):
    script = Path(str(AXE)).read_text(encoding="utf-8")
    found = "axe.run().then((all) => all.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]))"
    with watching(growing.place.parent, monkeypatch) as (_, address):
        window.media(prefers_color_scheme=scheme)
        window.open(address)
        window.until("document.documentElement.dataset.compared === '1'")
        run = address + window.value("document.querySelector('tbody a').getAttribute('href')")
        for place in (None, run):
            if place is not None:
                window.open(place)
                window.until("document.querySelector('.badge')")
            window.call("Runtime.evaluate", expression=script)
            assert window.value(found) == []
        window.media(prefers_color_scheme="light")
