"""What MkDocs calls while it builds the site: pages that are made join those that are written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.building.site import filled, made, navigation

ROOT = Path(__file__).parents[2]


def on_config(config: MkDocsConfig) -> None:
    """Complete the contents: an entry ``{title: mark}`` gets the pages that there are."""
    found = navigation(ROOT)
    config.nav = _completed(config.nav, found)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made."""
    for place, content in made(ROOT).items():
        if isinstance(content, Path):
            files.append(File.generated(config, place, abs_src_path=str(content)))
        else:
            files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is made into the pages that are written."""
    return filled(markdown, ROOT)


def _completed(entry: Any, found: Mapping[str, Any]) -> Any:
    if isinstance(entry, list):
        return [_completed(each, found) for each in entry]
    if isinstance(entry, dict):
        return {title: _completed(below, found) for title, below in entry.items()}
    return found.get(entry, entry)
