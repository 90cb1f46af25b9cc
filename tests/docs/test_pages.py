"""Pages that are made: tables show texts as they are, schemas in words, notebooks with what they answered."""

import base64
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.building import interface, measures, notebooks
from docs.building.configuration import allowed, page_of_trainings
from docs.building.docstrings import rearranged
from docs.building.tables import plain, table
from qd.measures import DESCRIPTIONS, MEASURES
from tests.test_docs import ROOT

markdown = pytest.importorskip("markdown")
words = st.text(st.sampled_from("ab1.,:;()[]{}<>*_|\\!#=-+/'\"&` "), max_size=20).filter(
    lambda text: "`" not in text
)


class Cells(HTMLParser):
    """The texts of a table's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag in ("td", "th"):
            self.found.append("")

    def handle_data(self, data):
        if self.found:
            self.found[-1] += data


def cells(text: str) -> list[str]:
    page = Cells(markdown.markdown(text, extensions=["tables"]))
    return [" ".join(each.split()) for each in page.found]


@given(words, words)
def test_a_cell_shows_any_text_as_it_is(first, second):
    text = table(("a", "b"), [(f"x{plain(first)}", f"y{plain(second)}")])
    assert cells(text) == ["a", "b", " ".join(f"x{first}".split()), " ".join(f"y{second}".split())]


def test_a_bar_in_code_stays_one():
    assert cells(table(("a",), [("`N|auto` or a|b",)])) == ["a", "N|auto or a|b"]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 10_000}, "whole number, at least 1, at most 10,000"),
        ({"type": "integer", "exclusiveMaximum": 2**63}, "whole number, below 2^63"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "number, above 0, at most 0.5"),
        ({"enum": ["ray", "inline"]}, "`ray` or `inline`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"$ref": "#/$defs/A"}}, "list of {`x`, `y`}"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "names with number"),
        ({"const": 3}, "`3`"),
        ({}, "any value"),
    ],
)
def test_what_a_value_may_be_is_said_in_words(schema, says):
    pair = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}}
    assert allowed(schema, {"A": pair}) == says


def test_keys_of_sections_below_sections_have_their_whole_path_and_the_default_that_counts():
    page = page_of_trainings()
    assert "\n## model.experts.block.moe\n" in page
    assert "## sched.temperature\n\n" in page
    assert page.count("By default there is no such section") == 3
    assert "| `sched.total_steps`{ #sched.total_steps } | `10000` | whole number, at least 1 |" in page


def test_every_measure_is_in_the_table_with_its_definition_where_a_docstring_has_one():
    text = measures.markdown(ROOT)
    assert [name for name in DESCRIPTIONS if f"| `{name}` |" not in text] == []
    assert sum(line.endswith("| yes |") for line in text.splitlines()) == len(MEASURES)
    found = measures.definitions(ROOT)
    assert found["write_strength"] == "`log10 |y| / |x|`"
    assert found["coherence"].startswith("mean over the others m of the cosine")
    assert found["effect_depth"].endswith("0 in the last layer")


def test_a_notebook_becomes_a_page_with_its_pictures(tmp_path):
    picture = base64.b64encode(b"a picture").decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["1\n", "2\n"]},
        {"output_type": "display_data", "data": {"image/png": picture, "text/plain": ["<Figure>"]}},
        {"output_type": "execute_result", "data": {"text/html": ["<b>3</b>"], "text/plain": ["3"]}},
    ]
    content = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Text."]},
        {"cell_type": "code", "source": ["print(1)\n", "print(2)"], "outputs": outputs},
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    path = tmp_path / "first.ipynb"
    path.write_text(json.dumps({"cells": content}))
    page = notebooks.read(path)
    assert page.title == "Title"
    assert page.pictures == {"first-2-2.png": b"a picture"}
    fence = "````"
    assert page.text == "\n\n".join(
        [
            "# Title\n\nText.",
            f"{fence}python\nprint(1)\nprint(2)\n{fence}",
            f"{fence}text\n1\n2\n{fence}",
            "![What the cell above drew](first-2-2.png)",
            f"{fence}text\n3\n{fence}\n",
        ]
    )


def test_a_library_shows_all_that_it_exports():
    import organisms.experts

    found = [name.rpartition(".")[2] for name in interface.exported(ROOT, "organisms.experts")]
    assert sorted(found) == sorted(organisms.experts.__all__)


DOCSTRING = """Return a sum.

More of it.

Parameters
----------
a, b
    Numbers.

    Of any size.

Returns
-------
Their sum, exactly.

Source: a book.
"""
WITH_ENTRIES_ALONE = """Return a sum.

More of it.

**Returns:** Their sum, exactly.

Source: a book.

Parameters
----------
a
    Numbers.

    Of any size.
b
    Numbers.

    Of any size."""


def test_sentences_between_entries_come_before_the_first_section():
    assert rearranged(DOCSTRING) == WITH_ENTRIES_ALONE


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Return a sum.\n\nMore.",
        WITH_ENTRIES_ALONE,
        "A.\n\nRaises\n------\nValueError\n    If it is none.",
    ],
)
def test_a_docstring_whose_sections_hold_entries_alone_stays_as_it_is(docstring):
    assert rearranged(docstring) == docstring
