"""Whole runs of the fewest and of the most measures that there can be, eight with three of the user's own."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from analysis import pictures
from archive_store.reading import open_run
from qd.measures import MEASURES, short_name
from runs.replay import decisions, replay
from runs.results.rows import table
from runs.results.summary import summarise
from tests.fixtures import own_measures
from tests.fixtures.small_runs import launched

CHOSEN = {2: (MEASURES[2], MEASURES[0]), 8: (*MEASURES, *own_measures.NAMES)}


@pytest.fixture(scope="module", params=CHOSEN)
def chosen(request):
    return CHOSEN[request.param]


@pytest.fixture(scope="module")
def run(chosen, tmp_path_factory):
    return launched(
        tmp_path_factory.mktemp("measures") / "run",
        f"measures=[{','.join(chosen)}]",
        "organism.count=2",
        "rounds=3",
    )


@pytest.mark.long
def test_it_is_replayed_with_the_same_digests(run):
    assert replay(run, None, {}) is None
    assert decisions(run)[2] is None


def test_its_ribs_archive_has_the_behaviours_of_its_elites(run, chosen):
    names = [short_name(name) for name in chosen]
    opened = open_run(run)
    elites, records, archive = opened.elites(), opened.records(), opened.archive()
    assert list(opened.measures) == names
    assert opened.centroids().shape == (32, len(names))
    assert archive.stats.num_elites == len(elites) > 0
    np.testing.assert_array_equal(archive.data("measures"), elites[names])
    cells = cKDTree(opened.centroids()).query(elites[names])[1]
    np.testing.assert_array_equal(cells, elites["cell"])
    ranges = opened.calibration()["ranges"]
    merged = elites.merge(records, on=["component", "round"], suffixes=("", "_raw"))
    raw = merged[[f"{name}_raw" for name in names]].to_numpy()
    unit = (raw - ranges["low"]) / (np.array(ranges["high"]) - ranges["low"])
    np.testing.assert_allclose(np.clip(unit, 0, 1), merged[names], atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in pictures.KINDS if kind not in ("utilisation", "trials")])
def test_there_is_every_picture(kind, run, chosen):
    figure = Figure(layout="constrained")
    pictures.KINDS[kind](open_run(run), figure)
    assert figure.axes
    if kind == "parallel":
        assert len([axes for axes in figure.axes if len(axes.get_yticks()) == 3]) == len(chosen)


def test_the_verdict_says_what_was_computed(run, chosen):
    verdict = open_run(run).calibration()["verdict"]
    assert verdict["names"] == list(chosen)
    assert np.shape(verdict["correlations"]) == (len(chosen), len(chosen))
    assert None not in (verdict["bartlett_p"], verdict["effective_dimension"], *verdict["reliability"])
    assert (verdict["kmo"] is None) == (verdict["msa"] is None) == (len(chosen) == 2)
    if len(chosen) == 2:
        written = " ".join(table(summarise(run)).split())
        assert "KMO and verdict - (warn) because" in written
        assert "the KMO needs at least three measures and was not computed" in written
