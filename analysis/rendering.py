"""A figure becomes the bytes of a file: the same figure gives the same bytes, whatever the user's settings are."""

import io
import textwrap
from collections.abc import Callable, Mapping

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis import style

# How each format is written, without what would let the bytes depend on more than the figure (date, versions).
FORMATS: Mapping[str, Callable[[Figure, io.BytesIO], None]] = {
    "png": lambda figure, file: FigureCanvasAgg(figure).print_png(file, metadata={"Software": None}),
    "svg": lambda figure, file: FigureCanvasSVG(figure).print_svg(
        file, metadata={"Date": None, "Creator": None}
    ),
}
_TITLE_WIDTH, _LONGEST_TITLE = 84, 300  # characters


class NothingToDraw(ValueError):
    """There is nothing that a picture could show; the message is the reason."""


def rendered(fill: Callable[[Figure], None], format: str) -> bytes:
    """Return the bytes of the file of a picture that a function fills."""
    with matplotlib.style.context(style.QUIET, after_reset=True):  # nothing of the user's matplotlibrc
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        fill(figure)
        _settle(figure)
        # Not by `savefig`, which draws everything once more beforehand, for a layout that is settled already.
        buffer = io.BytesIO()
        FORMATS[format](figure, buffer)
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Solve the layout once and round it: the solver's last bits depend on memory addresses."""
    engine = figure.get_layout_engine()
    assert engine is not None, "a figure comes with one"
    engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 4) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def titled(figure: Figure, text: str) -> None:
    """Write a title over a figure, in as many lines as it takes."""
    broken = textwrap.fill(style.drawable(text, _LONGEST_TITLE), _TITLE_WIDTH)
    figure.suptitle(broken, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
