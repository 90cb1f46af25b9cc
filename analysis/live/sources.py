"""Scripts and styles of pages that follow what they show; they lie in the package (`page/`)."""

from importlib.resources import files

STYLE = "live.css"
CONNECTION = "connection.js"


def source(name: str) -> str:
    """Return a script or a style sheet by its name."""
    return (files("analysis.live") / "page" / name).read_text(encoding="ascii")
