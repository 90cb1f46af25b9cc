"""The texts that the site takes over: where each stands on it, and links that work there too."""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

# Page of a text, by the file that it is. Families have one each, found where they lie.
FIXED: Mapping[str, str] = {
    "README.md": "readme.md",
    "kernels/README.md": "kernels.md",
    "tests/README.md": "faults.md",
    "tests/benchmarks/README.md": "measured.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
FILES = "files"  # where other files of the project lie on the site
# Code is left alone: blocks between fences, blocks that are indented, spans.
_LINK = re.compile(
    r"^ *```.*?^ *```$"
    r"|(?<=\n\n) {4}[^\n]*(?:\n+ {4}[^\n]*)*"
    r"|`(?:[^`\n]|\n(?!\n))*`"
    r"|(?P<before>!?\[[^\]]*\]\()(?P<target>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
_OUTSIDE = re.compile(r"[a-z]+:|#")


def texts(root: Path) -> dict[str, str]:
    """Return the page of every text that the site takes over, by its file, both relative to their roots."""
    families = sorted(root.glob("organisms/*/README.md"))
    return dict(FIXED) | {
        path.relative_to(root).as_posix(): f"families/{path.parent.name}.md" for path in families
    }


def notebooks(root: Path) -> dict[str, str]:
    """Return the page of every notebook, by its file, both relative to their roots."""
    found = sorted(root.glob("analysis/notebooks/*.ipynb"))
    return {path.relative_to(root).as_posix(): f"notebooks/{path.stem}.md" for path in found}


def relinked(text: str, file: str, pages: Mapping[str, str]) -> tuple[str, set[str]]:
    """Return a text whose links work on the site, and the files of the project that they need there.

    Parameters
    ----------
    text
        Markdown.
    file
        Where it lies, relative to the root of the project.
    pages
        Pages by their files, `file` among them.
    """
    needed: set[str] = set()
    here = posixpath.dirname(pages[file])

    def replaced(match: re.Match[str]) -> str:
        if match["target"] is None or _OUTSIDE.match(match["target"]):
            return match[0]
        path, sign, anchor = match["target"].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
        if target in pages:
            there = pages[target]
        else:
            there = f"{FILES}/{target}"
            needed.add(target)
        return f"{match['before']}{posixpath.relpath(there, here or '.')}{sign}{anchor})"

    return _LINK.sub(replaced, text), needed
