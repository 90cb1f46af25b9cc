"""Links of texts that the site takes over: they lead to pages, and code stays as it is."""

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.building.texts import relinked, texts
from tests.test_docs import ROOT

PAGES = {"README.md": "readme.md", "organisms/flow/README.md": "families/flow.md"}
names = st.text("ab.-", min_size=1, max_size=5).filter(lambda name: set(name) != {"."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        ("README.md", "[a](organisms/flow/README.md#x)", "[a](families/flow.md#x)"),
        ("organisms/flow/README.md", "[a](../../README.md)", "[a](../readme.md)"),
        ("organisms/flow/README.md", "![a](p.png)", "![a](../files/organisms/flow/p.png)"),
        ("README.md", "[over\nlines](LICENSE)", "[over\nlines](files/LICENSE)"),
        ("README.md", "[a](https://a.b/c) [b](#here)", "[a](https://a.b/c) [b](#here)"),
        (
            "README.md",
            "`[a](b)` and\n\n    [a](b)\n\n    [c](d)\n",
            "`[a](b)` and\n\n    [a](b)\n\n    [c](d)\n",
        ),
        ("README.md", "```\n[a](b)\n```\n[a](LICENSE)", "```\n[a](b)\n```\n[a](files/LICENSE)"),
    ],
)
def test_a_link_leads_to_where_its_file_stands_on_the_site(file, text, wanted):
    assert relinked(text, file, PAGES)[0] == wanted


def test_files_that_are_no_pages_are_needed():
    text = "[a](../../LICENSE) ![b](b.png) [c](../../README.md)"
    assert relinked(text, "organisms/flow/README.md", PAGES)[1] == {"LICENSE", "organisms/flow/b.png"}


@given(paths, paths, paths)
def test_a_link_means_the_same_file_before_and_after(file, page, target):
    """From a page at any depth, the link resolves to the place under which the target was asked for."""
    link = posixpath.relpath(target, posixpath.dirname(file) or ".")
    text, needed = relinked(f"[x]({link})", file, {file: page})
    new = re.fullmatch(r"\[x\]\((.*)\)", text)[1]
    place = posixpath.normpath(posixpath.join(posixpath.dirname(page), new))
    assert place == (
        page if posixpath.normpath(target) == posixpath.normpath(file) else f"files/{next(iter(needed))}"
    )


def test_every_readme_but_those_of_the_pages_is_taken_over():
    outside = {"build", "out", *(path.name for path in ROOT.glob(".*"))}
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("README.md")}
    assert {name for name in found if not outside & set(name.split("/"))} <= set(texts(ROOT))
