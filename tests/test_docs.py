"""The site: it builds without a warning, its links lead somewhere, and what it tells one to type can be typed."""

import os
import posixpath
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
import yaml
from typer.main import get_command

import runs.models.fit.reading
from docs.building.commands import commands
from docs.building.site import filled, made
from docs.building.texts import texts
from runs.cli import app
from runs.config.presets import presets
from runs.config.reader import load
from runs.config.schema import Config
from runs.errors import ConfigError
from tests.fixtures.pages import BROWSER, needs_browser
from tests.runs.test_cli import call

ROOT = Path(__file__).parents[1]
PAGES = ROOT / ".ci" / "docs" / "pages"
TYPED = [*sorted(PAGES.rglob("*.md")), *(ROOT / name for name in texts(ROOT))]
UsageError = typer.BadParameter.__mro__[1]  # of the click that is Typer's own
LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "iframe": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site as `make docs` does; not a word may be said."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "-q",
        "--strict",
        "-f",
        ".ci/docs/mkdocs.yml",
        "-d",
        str(folder),
    ]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": ".ci"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


class Page(HTMLParser):
    """What a page leads to, and the places in it that one may be led to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.places = {""}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places |= {each for each in (given.get("id"), given.get("name")) if each}
        if link := given.get(LINKS.get(tag, "")):
            self.links.append((tag, link))


def broken(folder: Path) -> Iterator[str]:
    """Name all links that lead to no file, or to no place in it."""
    pages = {file.relative_to(folder).as_posix(): Page(file) for file in folder.rglob("*.html")}
    for name, page in pages.items():
        for _, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = unquote(parts.path)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if not (folder / target).is_file():
                yield f"{name}: {link} is not there"
            elif target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{name}: {link} is no place there"


@pytest.mark.long
def test_the_site_builds_and_every_link_leads_somewhere(site):
    assert (site / "index.html").is_file()
    assert (site / "search" / "search_index.js").is_file(), "what search reads where there is no server"
    found = sorted(
        each for each in broken(site) if not each.startswith("404.html")
    )  # whose links are absolute
    assert found == []


@pytest.mark.long
def test_no_page_loads_anything_from_elsewhere(site):
    loaded = [
        f"{file.name}: {link}"
        for file in site.rglob("*.html")
        for tag, link in Page(file).links
        if tag != "a" and urlsplit(link).netloc
    ]
    assert loaded == []


def test_a_broken_link_a_missing_place_and_a_missing_picture_are_found(tmp_path):
    (tmp_path / "below").mkdir()
    good = '<a href="below/b.html#here"></a><a href="https://example.org/x"></a><a href="#top" id="top"></a>'
    bad = '<img src="../no.png"><a href="../a.html#nowhere"></a><a href="c.html"></a><p id="here">'
    (tmp_path / "a.html").write_text(good)
    (tmp_path / "below" / "b.html").write_text(bad)
    assert list(broken(tmp_path)) == [
        "below/b.html: ../no.png is not there",
        "below/b.html: ../a.html#nowhere is no place there",
        "below/b.html: c.html is not there",
    ]


@pytest.mark.long
@needs_browser
def test_search_finds_words_where_there_is_no_server(site, tmp_path):
    """The page is a file, for which browsers refuse the worker that searches elsewhere."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    place = f"{(site / 'index.html').as_uri()}?q=chemotaxis"
    command = [str(BROWSER), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", place]
    page = subprocess.run(command, capture_output=True, check=True, text=True, timeout=100).stdout
    assert int(re.search(r"(\d+) matching documents", page)[1]) > 3


@pytest.fixture(scope="module")
def content():
    return {page: text for page, text in made(ROOT).items() if isinstance(text, str)}


def test_every_command_has_a_heading_and_each_of_its_options_a_line(content):
    page = content["reference/commands.md"]
    names = [name for name, _ in commands()]
    assert len(names) > 20
    assert [name for name in names if f"\n## {name}\n" not in page] == []
    options = {option for _, command in commands() for each in command.params for option in each.opts}
    assert {option for option in options if option.startswith("--") and option not in page} == set()


def test_every_preset_is_on_its_page(content):
    page = content["reference/presets.md"]
    known = {f"launch {name}" for name in presets()}
    known |= {f"fit {name}" for name in runs.models.fit.reading.presets()}
    assert {name for name in known if f"\n### plasmodia {name}\n" not in page} == set()


def test_every_key_of_a_run_has_a_place_on_its_page(content):
    page = content["reference/configuration.md"]
    own, sections = [], []
    for name, field in Config.model_fields.items():
        (sections if hasattr(field.annotation, "model_fields") else own).append(name)
    assert len(sections) > 10
    assert [name for name in own if f"`{name}`{{ #{name} }}" not in page] == []
    assert [name for name in sections if f"\n## {name}\n" not in page] == []
    keys = {
        f"{section}.{field.alias or key}"
        for section in sections
        for key, field in Config.model_fields[section].annotation.model_fields.items()
        if not hasattr(field.annotation, "model_fields")
    }
    assert {key for key in keys if f"`{key}`{{ #{key} }}" not in page} == set()


def test_the_contents_name_every_page_that_is_written():
    named = set(
        re.findall(r"[\w/-]+\.md", (ROOT / ".ci" / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))
    )
    assert {page.relative_to(PAGES).as_posix() for page in PAGES.rglob("*.md")} <= named


def test_every_mark_of_a_written_page_is_filled():
    left = {
        page.name: filled(page.read_text(encoding="utf-8"), ROOT).count("<!--")
        for page in PAGES.rglob("*.md")
    }
    assert set(left.values()) == {0}


def typed(text: str) -> list[list[str]]:
    """Find the words of all commands that a text shows after a ``$``."""
    lines = re.findall(r"^ *\$ (plasmodia .*)$", text.replace("\\\n", " "), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def parsed(words: list[str]) -> typer.Context:
    """Parse a command as it would be, and do not run it."""
    command, context, rest = get_command(app), None, words
    while True:
        context = command.make_context(rest[0], rest[1:], parent=context)
        if not hasattr(command, "resolve_command"):
            return context
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        rest = [name, *rest]


@pytest.mark.parametrize("path", TYPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_that_are_shown_exist_with_their_options_and_keys(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in typed(path.read_text(encoding="utf-8")):
        try:
            given = parsed(words).params
            check_keys(words[1], given)
        except (UsageError, ConfigError) as error:
            pytest.fail(f"{shlex.join(words)}: {error}")


def check_keys(command: str, given: dict) -> None:
    """Check keys and values of a preset's configuration, where no code of one's own is named.

    What they say is in the working directory is made there.
    """
    source, overrides = given.get("source"), given.get("overrides") or ()
    if any(re.search(r"\w:\w", each) for each in overrides):
        return
    for key, _, place in (each.partition("=") for each in overrides):
        if key == "calibration.from":
            Path(place).mkdir(parents=True)
        if key in ("task.path", "data.path"):
            Path(place).touch()
    if command in ("launch", "validate") and source in presets():
        load(source, overrides)
    if command == "fit" and source in runs.models.fit.reading.presets():
        runs.models.fit.reading.load(source, overrides)


def test_all_of_the_written_pages_together_show_commands():
    shown = [words for path in TYPED for words in typed(path.read_text(encoding="utf-8"))]
    assert len(shown) > 60
    assert {"launch", "resume", "replay", "experiment", "fit", "serve", "report"} <= {
        words[1] for words in shown
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("plasmodia lunch digits", "No such command"),
        ("plasmodia launch digits --sead 1", "No such option"),
        ("plasmodia models list out --sort", "requires an argument"),
        ("plasmodia replay", "Missing parameter"),
    ],
)
def test_a_command_that_cannot_be_typed_would_be_found(line, sentence):
    with pytest.raises(UsageError, match=sentence):
        parsed(shlex.split(line))


def test_a_key_that_is_none_would_be_found():
    given = parsed(["plasmodia", "launch", "digits", "organism.cuont=4"]).params
    with pytest.raises(ConfigError, match=r"did you mean organism\.count"):
        check_keys("launch", given)


MODULES = [PAGES / "how-to" / name for name in ("own-data.md", "own-parts.md")]


@pytest.mark.parametrize("page", MODULES, ids=lambda page: page.stem)
def test_code_of_ones_own_is_taken_as_the_page_shows_it(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    name = re.match(r"# (\w+)\.py\n", blocks[0])[1]
    (tmp_path / f"{name}.py").write_text("\n\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    shown = [
        words for words in typed(text) if words[1] in ("launch", "validate") and f"{name}:" in str(words)
    ]
    assert shown
    for words in shown:
        given = parsed(words).params
        checked = call("validate", given["source"], *given["overrides"])
        assert checked.exit_code == 0, checked.stderr


def test_the_settings_refuse_every_kind_of_bad_link():
    settings = yaml.safe_load((ROOT / ".ci" / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))
    levels = [level for group in settings["validation"].values() for level in group.values()]
    assert set(levels) == {"warn"}, "which --strict makes an error"
