import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import emitters

CHUNKS = pd.DataFrame(
    {
        "round": [3, 3, 3, 5, 5],
        "emitter": ["gene", "iso_line", "gene", "gene", "mine:own"],
        "children": [4, 4, 2, 3, 4],
        "gain": [0.5, 1.0, 0.25, 1.0, 0.0],
    }
)


def test_gains_add_up_over_the_rounds_for_each_emitter(axes: Axes) -> None:
    lines = {line.get_label(): line for line in emitters.gain(CHUNKS, axes).lines}
    assert list(lines) == ["gene", "iso_line", "own"]
    assert list(lines["gene"].get_xdata()) == [3, 4, 5]
    assert list(lines["gene"].get_ydata()) == [0.75, 0.75, 1.75]
    assert list(lines["iso_line"].get_ydata()) == [1.0, 1.0, 1.0]
    assert len({line.get_color() for line in lines.values()}) == 3


def test_bars_of_children_stand_upon_each_other(axes: Axes) -> None:
    bars = emitters.children(CHUNKS, axes).patches
    tops = {}
    for bar in bars:
        place = round(bar.get_x() + bar.get_width() / 2)
        assert bar.get_height() == 0 or bar.get_y() == tops.get(place, 0)
        tops[place] = max(tops.get(place, 0), bar.get_y() + bar.get_height())
    assert tops == {3: 10, 5: 7}
    assert axes.get_xlim() == (2.5, 5.5)


def test_an_elite_lies_where_its_two_objectives_are(axes: Axes) -> None:
    elites = pd.DataFrame(
        {"cell": [1, 4, 9], "objective": [0.2, 0.5, 0.6], "emitter": [None, "gene", "gene"]}
    )
    again = pd.DataFrame({"cell": [9, 1, 4], "objective": [0.7, 0.1, 0.4]})
    lines = {line.get_label(): line for line in emitters.held_out(elites, again, CHUNKS, axes).lines}
    found = {name: np.array(line.get_xydata()).tolist() for name, line in lines.items()}
    assert found["lived in an organism"] == [[0.2, 0.1]]
    assert found["gene"] == [[0.5, 0.4], [0.6, 0.7]]
    assert "iso_line" not in found  # has no elite
