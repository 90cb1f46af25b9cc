from collections.abc import Iterator
from pathlib import Path

import matplotlib.style
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from archive_store.reading import Run, open_run
from qd.measures import MEASURES
from tests.fixtures.synthetic_run import write_run

KINDS = ("sine", "circle", "a kind of signal with a rather long name")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("analysis") / "run"
    return write_run(path, organisms=3, rounds=12, cells=64, kinds=KINDS)


@pytest.fixture(scope="session")
def run(folder: Path) -> Run:
    return open_run(folder)


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with measures of the user's, one with a long name."""
    measures = [
        *MEASURES[:1],
        "mine:written_norm",
        *MEASURES[2:4],
        "my.module:TheMeasureWithTheLongestNameOfThemAll",
    ]
    path = tmp_path_factory.mktemp("own") / "run"
    return open_run(write_run(path, organisms=3, measures=measures, kinds=KINDS))


@pytest.fixture(scope="session", params=[2, 3, 8])
def sized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with another number of measures than five, some of them the user's."""
    names = ["my.module:TheMeasureWithTheLongestNameOfThemAll", *MEASURES, "mine:reach", "mine:pace"]
    path = tmp_path_factory.mktemp("sized") / "run"
    return open_run(write_run(path, organisms=2, cells=40, measures=names[: request.param]))


@pytest.fixture
def figure() -> Iterator[Figure]:
    with matplotlib.style.context(style.QUIET, after_reset=True):
        yield Figure(layout="constrained")


@pytest.fixture
def axes(figure: Figure) -> Axes:
    return figure.subplots()
