import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report import document as documents
from analysis.report.blocks import Block, Chart, Code, Link, Section, Table, Text
from analysis.report.course import chart
from analysis.report.document import as_json, document
from analysis.report.markup import LONGEST_CELL, MOST_ROWS
from tests.fixtures.pages import Page, needs_browser, opened, parsed, sha256

HOSTILE = [
    "</script><script>document.title='run'</script>",
    '"><img src=x onerror="document.title=\'run\'">',
    "' onmouseover='alert(1)",
    "\u2028\u2029<!--",
    "\x00\x1b[31m\u202e",
    "&lt;b&gt;<![CDATA[",
    "\ud800",
    "a\nb",
]
# Names that have a meaning to JavaScript's objects.
NAMES = ["__proto__", "constructor"]


def of_everything(name: str) -> bytes:
    """A page that has a text in every place that takes one."""
    lines = chart(name, name, [{"name": name, "x": [1, 2], "y": [0.5, None]}], name, limits={name: 0.5})
    tree = {"rows": [{"name": name, "born": 0, "last": 2, "parents": [], "objective": None}]}
    blocks: list[Block] = [
        Text(name),
        Code(name, [name]),
        Table(name, [name, name], [[name, name], [name, Link(name, name)]]),
        lines,
        Chart("descent", name, name, tree),
    ]
    return document(name, name, [Section("part", name, blocks)])


@pytest.fixture(scope="module")
def page() -> Page:
    return parsed(of_everything("plain"))


@pytest.mark.parametrize("name", [*HOSTILE, *NAMES])
def test_no_text_changes_the_structure_of_a_page(name: str, page: Page) -> None:
    found = parsed(of_everything(name))
    structure = [each for each in found.structure if each != "<br >"]  # lines of a cell, as of any table
    assert structure == page.structure
    assert [each["kind"] for each in found.data["charts"]] == ["lines", "descent"]


@given(st.text())
def test_no_text_at_all_does(name: str) -> None:
    structure = [each for each in parsed(of_everything(name)).structure if each != "<br >"]
    assert structure == parsed(of_everything("plain")).structure


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_what_it_was_and_ends_no_element(value: object) -> None:
    text = as_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


@needs_browser
@pytest.mark.long
@pytest.mark.parametrize("name", [*HOSTILE, *NAMES])
def test_nothing_of_a_text_runs(name: str, tmp_path) -> None:
    found, said = opened(of_everything(name), tmp_path)
    ((_, title),) = found.all("title")
    assert title != "run"
    assert "data-drawn" in found.all("html")[0][0]
    assert len(found.all("script")) == 2
    assert said == []


def test_the_policy_admits_this_script_and_this_style_and_nothing_else(page: Page) -> None:
    ((_, script),) = [each for each in page.all("script") if "type" not in each[0]]
    ((_, look),) = page.all("style")
    assert page.policy == {
        "default-src": "'none'",
        "script-src": sha256(script),
        "style-src": sha256(look),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_policy_comes_before_all_that_it_is_about(page: Page) -> None:
    names = [name for name, _, _ in page.elements]
    policy = next(place for place, (_, found, _) in enumerate(page.elements) if "http-equiv" in found)
    assert policy < min(names.index("style"), names.index("script"))


def test_nothing_is_asked_for_elsewhere(page: Page) -> None:
    for tag, attributes, _ in page.elements:
        assert not {"src", "srcset", "style", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert tag not in ("link", "img", "iframe", "object", "embed", "form", "base")
    ((_, look),) = page.all("style")
    assert not re.search(r"url\(|@import|@font-face", look)


def test_the_script_reads_no_html_and_asks_for_nothing(page: Page) -> None:
    ((_, script),) = [each for each in page.all("script") if "type" not in each[0]]
    forbidden = (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch(", "import(",
        "XMLHttpRequest", "WebSocket", "localStorage", "Date", "Math.random",
    )  # fmt: skip
    assert [word for word in forbidden if word in script] == []
    assert "</" not in script
    addresses = re.findall(r"https?://[^\"'\s]+", script)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # the name of SVG, not a place


def test_equal_parts_give_equal_bytes() -> None:
    assert of_everything("plain") == of_everything("plain")


def test_a_long_table_and_a_long_text_are_cut_and_it_is_said() -> None:
    rows = [[f"row {place}", "x" * 5000] for place in range(MOST_ROWS + 1)]
    found = parsed(document("a", "b", [Section("part", "c", [Table("Rows", ["one", "two"], rows)])]))
    assert len(found.all("tr")) == 1 + MOST_ROWS
    assert found.all("caption")[0][1] == f"Rows, the first {MOST_ROWS} of {MOST_ROWS + 1}"
    assert max(len(text) for _, text in found.all("td")) == LONGEST_CELL


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def properties(look: str) -> list[dict[str, str]]:
    """The properties of each block of a style sheet that declares colours: first the light ones, then the dark ones."""
    blocks = re.findall(r":root \{ color-scheme: \w+; ([^}]*)\}", look)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]


def test_texts_stand_out_from_what_is_behind_them_by_day_and_by_night(page: Page) -> None:
    ((_, look),) = page.all("style")
    inks = set(re.findall(r"(?<![-\w])(?:color|fill): var\(--([\w-]+)\)", look))
    grounds = set(re.findall(r"background: var\(--([\w-]+)\)", look))
    assert len(inks) > 2
    assert len(grounds) > 1
    light, dark = properties(look)
    assert light.keys() == dark.keys()
    for theme in (light, dark):
        for ink in inks:
            for ground in grounds:
                assert (contrast := ratio(theme[ink], theme[ground])) >= 4.5, (ink, ground, contrast)


def test_lines_of_charts_stand_out_from_the_ground(page: Page) -> None:
    """WCAG 2.2 asks 3 of what is needed to understand a chart; lines of orange and sky on white have dashes, too."""
    ((_, look),) = page.all("style")
    for theme, fewest in zip(properties(look), (4, 6), strict=True):
        series = [colour for name, colour in theme.items() if name.startswith("series-")]
        assert len(series) == 7
        assert sum(ratio(colour, theme["ground"]) >= 3 for colour in series) >= fewest
        assert all(ratio(theme[name], theme["ground"]) >= 3 for name in ("edge", "focus", "chosen"))


def ratio(one: str, other: str) -> float:
    """Contrast of two colours, WCAG 2.2."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_part_of_the_script_is_in_the_page(page: Page) -> None:
    folder = documents.files("analysis.report") / "page"
    assert {each.name for each in folder.iterdir()} == {*documents.SCRIPTS, documents.STYLE}
