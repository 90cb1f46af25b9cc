from types import SimpleNamespace

import pytest

from qd.measures import Ranges
from runs.calibration.outlook import Outlook
from runs.calibration.prospect import prospect

NAMES = ("span", "norm", "rank")


def printed(outlook=None, **verdict):
    found = {
        "status": "ok", "kmo": 0.7, "effective_dimension": 2.5, "largest_correlation": 0.41, "reasons": [],
        "names": NAMES, "advice": [], "reliability": None, "msa": None,
    }  # fmt: skip
    calibration = SimpleNamespace(
        verdict=found | verdict, outlook=outlook, reference=0.1, ranges=Ranges((0.0,) * 3, (1.0,) * 3)
    )
    return prospect(NAMES, calibration)


@pytest.mark.parametrize(
    ("kmo", "said"),
    [
        (0.55, "KMO 0.55 (unacceptable by the blueprint)\n"),
        (0.7, "KMO 0.70 (acceptable by the blueprint)\n"),
        (
            0.95,
            "KMO 0.95 (excellent by the blueprint; near-copies score highest, and the closest two have |r| 0.41)\n",
        ),
        (None, "KMO -\n"),
    ],
)
def test_a_kmo_has_its_word_and_beside_a_high_one_stands_what_makes_it_high(kmo, said):
    assert f"verdict               ok, {said}" in printed(kmo=kmo)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            {"principal_components": 3, "kernel_components": 12},
            "3 principal components, 12 by kernel PCA (RBF)",
        ),
        (
            {"principal_components": 2, "kernel_components": None},
            "2 principal components, - by kernel PCA (RBF)",
        ),
        ({}, "-"),  # a calibration from before they were counted
    ],
)
def test_components_of_both_kinds_are_counted_where_they_are_known(counts, said):
    assert f"95 % of the variance  {said}\n" in printed(**counts)


def test_the_error_of_quantisation_is_told_for_each_way_to_place_centroids():
    seen = Outlook(0.5, 2.3, 30, 40, (("annealed", 0.0123), ("halton", 0.034), ("kmeans", 0.0125)))
    assert "quantisation error    0.0123 (annealed), 0.034 (halton), 0.0125 (kmeans)\n" in printed(seen)
    assert "quantisation" not in printed(Outlook(0.5, 2.3, 30, 40))
