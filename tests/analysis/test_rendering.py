"""Figures become the bytes of files; what runs have to show has no part in it."""

from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from analysis import rendering, style


def line(figure: Figure) -> None:
    figure.set_size_inches(style.WIDTH, 2.0)
    figure.subplots().plot([1.0, 3.0, 2.0])
    rendering.titled(figure, "a line")


@pytest.mark.parametrize("format", rendering.FORMATS)
def test_the_same_figure_has_the_same_bytes_whatever_the_users_settings(format: str) -> None:
    once = rendering.rendered(line, format)
    with matplotlib.rc_context({"font.size": 20.0, "axes.grid": False, "savefig.dpi": 50}):
        assert rendering.rendered(line, format) == once
        assert matplotlib.rcParams["font.size"] == 20.0


def test_each_format_is_what_it_is_called() -> None:
    assert rendering.rendered(line, "png").startswith(b"\x89PNG\r\n")
    assert ElementTree.fromstring(rendering.rendered(line, "svg")).tag == "{http://www.w3.org/2000/svg}svg"


def test_places_of_axes_are_rounded() -> None:
    kept = []
    rendering.rendered(lambda figure: (line(figure), kept.append(figure)), "svg")
    edges = [edge for axes in kept[0].axes for edge in axes.get_position(original=True).bounds]
    assert edges == [round(edge, 4) for edge in edges]


def test_an_error_while_a_figure_is_filled_leaves_no_settings_behind() -> None:
    before = matplotlib.rcParams["font.size"]

    def broken(figure: Figure) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rendering.rendered(broken, "png")
    assert matplotlib.rcParams["font.size"] == before


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20), st.integers(1, 80)
)
def test_a_title_of_any_length_is_broken_between_its_words(word: str, count: int) -> None:
    figure = Figure()
    rendering.titled(figure, " ".join([word] * count))
    lines = figure.get_suptitle().split("\n")
    assert max(map(len, lines)) <= 84
    assert sum(map(len, lines)) <= 300
    assert all(each.startswith((word, "...")) for each in lines)
