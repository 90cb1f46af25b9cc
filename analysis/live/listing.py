"""The page of a folder: its runs side by side, as they come, go on and go; those that are ticked are compared."""

from analysis.live.sources import CONNECTION, STYLE, source
from analysis.report.blocks import Section, Text
from analysis.report.document import Addition, document

SCRIPTS = (CONNECTION, "listing.js")
_PARTS = (
    Section(
        "comparison",
        "Comparison",
        [Text("The runs that are ticked below, each by its committed rounds. Arrow keys read the curves.")],
    ),
    Section("runs", "Runs", []),
)


def page_of_runs(folder: str) -> bytes:
    """Return the page, which asks for the runs themselves.

    Parameters
    ----------
    folder
        How the folder is called.
    """
    added = Addition(tuple(map(source, SCRIPTS)), source(STYLE), '<div id="live"></div>', asks=True)
    return document(folder, "Runs of Plasmodia, as they go on.", _PARTS, added)
