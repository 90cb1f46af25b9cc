"""All pages and pictures of the site that are made and not written, by where they stand."""

from collections.abc import Mapping
from pathlib import Path

from docs.building import commands, configuration, interface, measures, notebooks, presets
from docs.building.texts import FILES, relinked
from docs.building.texts import notebooks as notebook_pages
from docs.building.texts import texts as text_pages

MARKS = {
    "<!-- the table of measures -->": measures.markdown
}  # what a written page has in place of what is made
Made = dict[str, str | bytes | Path]  # Markdown, bytes, or a file that is taken as it is


def made(root: Path) -> Made:
    """Return what stands where: pages as Markdown, other files as bytes or by their path."""
    found: Made = {
        "reference/commands.md": commands.page(),
        "reference/configuration.md": configuration.page_of_runs(),
        "reference/training.md": configuration.page_of_trainings(),
        "reference/presets.md": presets.page(),
    }
    found |= {f"api/{part.page}.md": interface.page(part, root) for part in interface.PARTS}
    return found | _taken_over(root)


def filled(markdown: str, root: Path) -> str:
    """Return a page whose marks are replaced by what is made for them."""
    for mark, make in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make(root))
    return markdown


def navigation(root: Path) -> Mapping[str, list[dict[str, str]]]:
    """Return the entries of those parts of the contents that follow from what is there, by mark."""
    families = (page for page in text_pages(root).values() if page.startswith("families/"))
    return {
        "families": [{Path(page).stem.capitalize(): page} for page in families],
        "notebooks": [
            {notebooks.read(root / file).title: page} for file, page in notebook_pages(root).items()
        ],
        "interface": [{part.title: f"api/{part.page}.md"} for part in interface.PARTS],
    }


def _taken_over(root: Path) -> Made:
    """Take texts and notebooks over, and the files that they link."""
    found: Made = {}
    pages = text_pages(root) | notebook_pages(root)
    for file, page in pages.items():
        if file.endswith(".ipynb"):
            notebook = notebooks.read(root / file)
            text = notebook.text
            found |= {str(Path(page).parent / name): data for name, data in notebook.pictures.items()}
        else:
            text = (root / file).read_text(encoding="utf-8")
        found[page], needed = relinked(text, file, pages)
        # A link to what is not there stays one, which MkDocs names with its page.
        found |= {f"{FILES}/{name}": root / name for name in needed if (root / name).is_file()}
    return found
