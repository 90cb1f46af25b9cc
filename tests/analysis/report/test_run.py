import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from analysis.report import run as runs
from analysis.report.elites import elites_data
from analysis.report.run import page_of_run
from archive_store.reading import Run, open_run
from qd.measures import Ranges
from tests.fixtures.pages import Page, needs_browser, opened, parsed, result
from tests.fixtures.synthetic_run import write_run

SUMMARY = [("rounds", "12"), ("emitters", "one\ntwo")]
PARTS = [
    "summary", "space", "elites", "progress", "lifecycle", "lineage", "emitters", "time", "configuration",
    "environment",
]  # fmt: skip
BAD = "</script><script>document.title='run'</script>"


def page_of(run: Run, round: int = 12) -> Page:
    return parsed(page_of_run(run, SUMMARY, round))


@pytest.fixture(scope="module")
def whole(run: Run) -> bytes:
    return page_of_run(run, SUMMARY, 12)


@pytest.fixture(scope="module")
def page(whole: bytes) -> Page:
    return parsed(whole)


def test_every_part_has_a_heading_and_a_line_in_the_contents(page: Page) -> None:
    assert [attributes["id"] for attributes, _ in page.all("section")] == PARTS
    assert [attributes["href"] for attributes, _ in page.all("a")][1:] == [f"#{name}" for name in PARTS]
    assert len(page.all("h2")) == len(PARTS)


def test_headings_come_in_order_and_references_lead_somewhere(page: Page) -> None:
    levels = [int(name[1]) for name, _, _ in page.elements if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) is None or attributes[name] in ids
    assert {"header", "nav", "main"} <= {name for name, _, _ in page.elements}


def test_cells_that_head_a_row_or_a_column_say_so(page: Page) -> None:
    assert {attributes["scope"] for attributes, _ in page.all("th")} == {"row", "col"}
    assert len(page.all("caption")) == len(page.all("table")) > 5


def test_the_elites_are_those_of_the_frame_the_best_first(page: Page, run: Run) -> None:
    data, elites = page.chart("elites"), run.elites()
    order = elites.sort_values(["objective", "cell"], ascending=[False, True])
    assert data["names"] == list(order["component"])
    assert data["numbers"]["objective"] == pytest.approx(list(order["objective"]), rel=1e-5)
    assert data["places"][0] == pytest.approx(list(order.iloc[0][list(run.measures)]), abs=1e-4)
    again = run.held_out().set_index("cell")["objective"]
    assert data["numbers"]["held_out"] == pytest.approx([again[cell] for cell in order["cell"]], rel=1e-5)
    assert len(data["empty"]) == data["cells"] - len(elites) == 64 - len(elites)


def test_what_was_recorded_of_an_elite_is_of_the_round_in_which_it_was_measured(page: Page, run: Run) -> None:
    data, records = page.chart("elites"), run.records()
    for place, (name, round) in enumerate(zip(data["names"], data["numbers"]["round"], strict=True)):
        (own,) = records[(records["component"] == name) & (records["round"] == round)].to_dict("records")
        assert data["numbers"]["age"][place] == own["age"]
        assert data["numbers"]["assay"][place] == pytest.approx(own["assay"], rel=1e-5)
        for kind, shares in data["usage"].items():
            assert shares[place] == pytest.approx(own[f"usage_{kind}"], rel=1e-5)


def test_first_parents_lead_from_every_elite_to_the_founder_of_its_lineage(page: Page) -> None:
    data = page.chart("elites")
    for name, founder in zip(data["names"], data["lineages"], strict=True):
        steps = 0
        while len(data["ancestors"][name]) > 1:
            born, name = data["ancestors"][name][:2]
            assert born > 0
            steps += 1
        assert name == founder
        assert data["ancestors"][founder][0] == 0


def test_an_elite_that_came_after_the_second_look_has_no_held_out_objective(run: Run) -> None:
    again, elites = run.held_out().assign(round=8), run.elites()
    ranges = Ranges((0.0,) * 5, (1.0,) * 5)
    frames = (again, run.records(), run.children(), run.centroids())
    data = elites_data(elites, *frames, run.measures, ranges, most=100)
    rounds = data["numbers"]["round"]
    assert min(rounds) <= 8 < max(rounds)
    assert [each is None for each in data["numbers"]["held_out"]] == [round > 8 for round in rounds]


def test_curves_have_the_numbers_of_the_rounds(page: Page, run: Run) -> None:
    charts = {chart["title"]: chart for chart in page.data["charts"]}
    series = {each["name"]: each for each in charts["Coverage"]["series"]}
    assert series["cells"]["y"] == pytest.approx(list(run.rounds()["coverage"]), rel=1e-5)
    losses = run.census().groupby("round")["validation_loss"].mean()
    series = {each["name"]: each for each in charts["Loss"]["series"]}
    assert series["validation, at its end"]["y"] == pytest.approx(list(losses), rel=1e-5)


def test_a_decision_is_counted_by_what_it_was(page: Page, run: Run) -> None:
    decisions = run.decisions()
    deaths = decisions[(decisions["kind"] == "death") & (decisions["reason"] == "fitness")]
    texts = [text for _, text in page.all("th")]
    assert "death for fitness" in texts
    cells = [text for name, _, parts in page.elements if name in ("th", "td") for text in ["".join(parts)]]
    place = cells.index("death for fitness")
    assert cells[place + 1 : place + 3] == [str(len(deaths)), str(int(deaths["happens"].sum()))]


def test_an_earlier_round_is_seen_as_it_was_then(run: Run) -> None:
    data = page_of(run, 6).chart("elites")
    assert data["names"] == list(
        run.elites(6).sort_values(["objective", "cell"], ascending=[False, True])["component"]
    )
    assert set(data["numbers"]["held_out"]) == {None}  # the second look came later


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(
    whole: bytes, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert page_of_run(open_run(copy), SUMMARY, 12) == whole


def test_a_run_with_measures_of_the_users_own_has_a_page(own: Run) -> None:
    check_that_all_measures_are_there(own)


def test_a_run_of_any_number_of_measures_has_a_page(sized: Run) -> None:
    check_that_all_measures_are_there(sized)


def check_that_all_measures_are_there(run: Run) -> None:
    data = page_of(run).chart("elites")
    assert [each["name"] for each in data["measures"]] == [name.replace("_", " ") for name in run.measures]
    assert {len(place) for place in data["places"]} == {len(run.measures)}


def test_a_live_run_without_elites_has_a_page_that_says_so(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", organisms=1, rounds=1, finished=False))
    page = page_of(run, 1)
    assert {chart["kind"] for chart in page.data["charts"]} == {"lines"}
    texts = [text for _, text in page.all("p")]
    assert "The archive is empty." in texts
    assert "A run of Plasmodia after round 1, not finished." in texts


def test_a_page_that_is_too_large_has_fewer_elites_and_says_so(
    run: Run, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_BYTES", len(whole) - 1)
    monkeypatch.setattr(runs, "MOST_ELITES", (3000, 5))
    page = page_of(run)
    assert len(page.chart("elites")["names"]) == 5
    assert f"The best 5 of {len(run.elites())} elites are shown." in [text for _, text in page.all("p")]


def altered(place: Path, name: str) -> bytes:
    """The page of a run whose maker has written a name wherever one can be written."""
    measures = [f"mine:{name}{number}" for number in range(3)]
    path = write_run(place, organisms=2, rounds=6, cells=16, finished=False, measures=measures, kinds=[name])
    config = yaml.safe_load((path / "config.yaml").read_text())
    config |= {"name": name, name: [name], "task": {"name": name}}
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (path / "environment.json").write_text(json.dumps({"packages": {name: name}, "machine": [name, name]}))
    return page_of_run(open_run(path), [(name, f"{name}\n{name}")], 6)


@pytest.mark.parametrize("name", [BAD, "\"'`><img src=x onerror=alert(1)>", "\u2028\u202e\x1b", "__proto__"])
def test_no_name_in_a_run_changes_the_structure_of_its_page(name: str, tmp_path: Path) -> None:
    tame, wild = (
        parsed(altered(tmp_path / each, text)) for each, text in (("tame", "x" * len(name)), ("wild", name))
    )
    assert wild.structure == tame.structure
    assert len(wild.all("script")) == 2


@needs_browser
@pytest.mark.long
def test_nothing_runs_of_what_a_stranger_wrote(tmp_path: Path) -> None:
    found, said = opened(altered(tmp_path / "run", BAD), tmp_path)
    assert found.all("title")[0][1] != "run"
    assert found.all("html")[0][0]["data-drawn"] == str(len(found.data["charts"]))
    assert said == []
    assert len(found.all("script")) == 2


ACTS = """
const result = {};
const $ = (selector) => document.querySelector(selector);
const press = (element, key) => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const change = (element, value) => { element.value = value; element.dispatchEvent(new Event("change")); };
const figure = $("figure.elites");
const caption = () => figure.querySelector("caption").textContent;
result.all = caption();
const fields = [...figure.querySelectorAll("input")];
change(fields.at(-2), "0.7");
result.some = caption();
result.names = [...figure.querySelectorAll("tbody th")].map((each) => each.textContent);
figure.querySelector(".controls > button").click();
result.again = caption();
press(figure.querySelector(".plot > svg"), "ArrowRight");
press(figure.querySelector(".plot > svg"), "Enter");
result.detail = figure.querySelector("h4").textContent;
figure.querySelectorAll("tbody th button")[1].click();
result.second = figure.querySelector("h4").textContent;
result.line = [...figure.querySelectorAll(".detail ol li")].map((each) => each.textContent);
const selects = figure.querySelectorAll("select");
const ring = figure.querySelector(".ring");
const plot = figure.querySelector(".plot > svg");
const at = (drawing, x, y) => {
  const box = drawing.getBoundingClientRect();
  const [width, height] = drawing.getAttribute("viewBox").split(" ").slice(2).map(Number);
  return { clientX: box.left + (x * box.width) / width, clientY: box.top + (y * box.height) / height, bubbles: true };
};
const place = at(plot, Number(ring.getAttribute("cx")), Number(ring.getAttribute("cy")));
figure.querySelectorAll("tbody th button")[2].click();
result.third = figure.querySelector("h4").textContent;
plot.dispatchEvent(new PointerEvent("pointermove", place));
result.tip = figure.querySelector(".tip.on").textContent;
plot.dispatchEvent(new MouseEvent("click", place));
result.clicked = figure.querySelector("h4").textContent;
const parallel = figure.querySelector(":scope > svg");
parallel.setPointerCapture = () => {};
const axis = Number([...parallel.querySelectorAll("line")].at(-1).getAttribute("x1"));
parallel.dispatchEvent(new PointerEvent("pointerdown", at(parallel, axis, 52)));
parallel.dispatchEvent(new PointerEvent("pointermove", at(parallel, axis, 150)));
parallel.dispatchEvent(new PointerEvent("pointerup", at(parallel, axis, 150)));
result.brushed = [...figure.querySelectorAll("tbody th")].map((each) => each.textContent);
result.from = Number(fields.at(-2).value);
figure.querySelector(".controls > button").click();
for (const [place, value] of [[0, "2"], [1, "0"], [2, "lineages"]]) change(selects[place], value);
result.axis = [...figure.querySelectorAll(".plot > svg text")].map((each) => each.textContent);
const chart = $("figure.lines > svg");
press(chart, "End");
result.read = chart.parentElement.querySelector("output").textContent;
const tree = $("figure.descent > svg");
press(tree, "ArrowDown");
result.row = $("figure.descent output").textContent;
const controls = [...document.querySelectorAll("select, input")];
result.unlabelled = controls.filter((each) => !each.labels.length && !each.ariaLabel).length;
document.body.dataset.result = JSON.stringify(result);
"""


@needs_browser
@pytest.mark.long
def test_a_reader_selects_and_opens_elites_with_keys_and_with_a_pointer(
    whole: bytes, run: Run, tmp_path: Path
) -> None:
    found, said = opened(whole, tmp_path, ACTS)
    assert said == []
    done, elites = result(found), run.elites().sort_values(["objective", "cell"], ascending=[False, True])
    above = elites[elites["objective"] >= 0.7]
    assert 0 < len(above) < len(elites)
    assert done["all"] == done["again"] == f"{len(elites)} of {len(elites)} elites are selected"
    assert done["some"] == f"{len(above)} of {len(elites)} elites are selected"
    assert done["names"] == list(above["component"])
    second = elites.iloc[1]
    assert done["second"] == f"Elite {second['component']} in cell {second['cell']}"
    assert done["clicked"] == done["second"] != done["third"]
    assert done["tip"].startswith(f"{second['component']}: objective {second['objective']:.4g}"[:-1])
    brushed = elites[elites["objective"] >= done["from"]]
    assert 0 < len(brushed) < len(elites)
    assert done["brushed"] == list(brushed["component"])
    assert done["line"][0].startswith(second["component"])
    assert done["line"][-1].startswith(f"{second['lineage']} born in round 0")
    assert run.measures[2].replace("_", " ") in " ".join(done["axis"])
    assert done["detail"].startswith("Elite ")
    assert done["read"].startswith("round 12: ")
    assert "born in round 0" in done["row"]
    assert done["unlabelled"] == 0


@needs_browser
@pytest.mark.long
def test_a_page_is_drawn_and_its_policy_breaks_nothing(whole: bytes, tmp_path: Path) -> None:
    found, said = opened(whole, tmp_path)
    assert said == []
    assert found.all("html")[0][0]["data-drawn"] == str(len(found.data["charts"]))
