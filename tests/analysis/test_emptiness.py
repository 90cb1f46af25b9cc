import numpy as np
import pandas as pd

from analysis import emptiness
from archive_store.reading import Run
from qd.measures import Ranges


def test_a_cell_is_visited_by_whoever_is_nearest_to_its_centroid_after_clipping() -> None:
    centroids = np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 0.9]])
    ranges = Ranges((0, 0), (10, 100))
    records = pd.DataFrame({"b": [50.0, 30.0, np.nan], "a": [2.0, -7.0, 9.0]})
    assert emptiness.visited(records, centroids, ["a", "b"], ranges).tolist() == [True, False, False]
    beyond = pd.DataFrame({"b": [500.0], "a": [40.0]})
    assert emptiness.visited(beyond, centroids, ["a", "b"], ranges).tolist() == [False, False, True]
    near, far = np.array([[0.2, 0.0], [0.3, 0.9]]), pd.DataFrame({"b": [80.0], "a": [-30.0]})
    assert emptiness.visited(far, near, ["a", "b"], ranges).tolist() == [
        False,
        True,
    ]  # unclipped it was the first
    assert not emptiness.visited(records[:0], centroids, ["a", "b"], ranges).any()


def test_every_cell_that_was_competed_for_was_visited(run: Run) -> None:
    passed = emptiness.visited(run.records(), run.centroids(), run.measures, run.ranges())
    assert passed[run.outcomes()["cell"]].all()
    assert (
        len(run.elites()) < passed.sum() < len(passed)
    )  # some came and did not compete, and some cells saw nobody


def test_the_reasons_are_of_the_last_round_and_of_all_competitions() -> None:
    rounds = pd.DataFrame({"round": [1, 2], "out_of_range_a": [1, 3], "out_of_range_b_c": [0, 9]})
    counts = {"competes": 3, "immature": 0, "useless": 6, "non-finite": 1}
    who, where = emptiness.reasons(rounds, 30, counts, ["a", "b_c", "d"])
    assert who == (
        "Of 10 components of the last round: 3 compete, 6 useless (the 95 % bound of its assay is not above 0), "
        "1 non-finite (a number that was measured is not finite); plasmodia show says what to change."
    )
    assert where == "Of 30 competitions so far, beyond the ranges: 30.0% in b c, 10.0% in a."
    _, rare = emptiness.reasons(rounds, 9000, counts, ["a"])
    assert rare.endswith("beyond the ranges: under 0.1% in a.")
    assert list(emptiness.reasons(rounds, 0, {"competes": 3}, ["a"])) == [
        "Of 3 components of the last round: 3 compete."
    ]
