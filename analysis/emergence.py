"""What the parts of a network are alone and together: one score in each row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis import style


@dataclass(frozen=True, slots=True)
class Emergence:
    """Scores on the test split of the parts of one network, alone and together, and of what they compare with."""

    organism: int
    round: int
    score_name: str
    alone: Mapping[int, float]  # by slot
    average: float  # of the outputs of all parts alone
    together: float
    parameters: int
    dense: float
    dense_parameters: int
    constant: float

    @property
    def rows(self) -> dict[str, list[float]]:
        """The scores of every row, from the top."""
        alone = list(self.alone.values())
        return {
            "a constant answer": [self.constant],
            "each part alone": alone,
            "the best part alone": [max(alone)],
            "average of their outputs": [self.average],
            f"all together ({self.parameters:,} parameters)": [self.together],
            f"one dense network ({self.dense_parameters:,})": [self.dense],
        }


COLOURS = (style.GREY, style.SKY, style.BLUE, style.ORANGE, style.VERMILLION, style.GREEN)


def scores(shown: Emergence, axes: Axes) -> Axes:
    """Draw the scores as points, a row for each question, with the number of each that has one.

    Parameters
    ----------
    shown
        What to draw.
    axes
        Where.
    """
    rows = list(shown.rows.items())
    for place, ((_, values), colour) in enumerate(zip(rows, COLOURS, strict=True)):
        axes.axhline(place, color=style.FAINT, linewidth=0.6, zorder=0)
        axes.scatter(values, [place] * len(values), s=34, color=colour, edgecolors=style.INK, linewidths=0.5)
        if len(values) == 1:
            beside: dict[str, Any] = {"xytext": (7, 0), "textcoords": "offset points"}
            axes.annotate(f"{values[0]:.3f}", (values[0], place), va="center", fontsize=7.5, **beside)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"test {shown.score_name}")
    return axes
