import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qd.archive import Archive
from qd.centroids import halton_cvt
from qd.records import Candidate, ComponentId, Outcome

CENTROIDS = halton_cvt(12, 5, 0)
CORNER = (0.0,) * 5


def candidate(component, objective=0.5, behaviour=CORNER, out_of_range=(False,) * 5, born_of=None):
    identity = ComponentId(*component)
    return Candidate(
        identity,
        (),
        born_of or identity,
        0,
        (),
        f"genome of {identity}",
        1,
        behaviour,
        out_of_range,
        objective,
    )


# Few objectives and few components, so that ties and repeated visits to a cell are common.
IDS = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3))
BEHAVIOURS = st.tuples(*[st.sampled_from([0.0, 0.1, 0.45, 0.8, 1.0])] * 5)
CLIPPED = st.tuples(*[st.booleans()] * 5)
CANDIDATES = st.builds(candidate, IDS, st.sampled_from([0.0, 0.25, 0.5, 1.0]), BEHAVIOURS, CLIPPED)
COMMITS = st.lists(CANDIDATES, max_size=12, unique_by=lambda item: item.component)
RUNS = st.lists(COMMITS, max_size=4)


class Reference:
    """MAP-Elites in a dict, one candidate at a time."""

    def __init__(self, centroids=CENTROIDS):
        self.centroids = centroids
        self.elites, self.visits, self.improvements = {}, [0] * 12, [0] * 12

    def insert(self, item):
        cell = min(range(12), key=lambda index: math.dist(self.centroids[index], item.behaviour))
        held = self.elites.get(cell)
        status = "insert" if held is None else "replace" if item.objective > held.objective else "reject"
        self.visits[cell] += 1
        if status != "reject":
            self.elites[cell] = item
            self.improvements[cell] += 1
        return Outcome(item, status, cell, held and held.component, None if held is None else held.objective)


@pytest.mark.long
@settings(deadline=None)
@given(RUNS, st.randoms(use_true_random=False))
def test_any_arrival_order_gives_what_one_at_a_time_gives(commits, random):
    archive, reference = Archive(CENTROIDS), Reference()
    for commit in commits:
        arrived = random.sample(commit, len(commit))
        expected = [reference.insert(item) for item in sorted(commit, key=lambda item: item.component)]
        assert archive.commit(arrived) == expected
    view = archive.view()
    assert dict(zip(view.cells, view.elites, strict=True)) == reference.elites
    assert view.cells == tuple(sorted(reference.elites))
    assert archive.visits.tolist() == reference.visits
    assert archive.improvements.tolist() == reference.improvements
    clipped = np.array([item.out_of_range for commit in commits for item in commit], dtype=int).reshape(-1, 5)
    assert archive.out_of_range.tolist() == clipped.sum(axis=0).tolist()


@settings(deadline=None)
@given(RUNS)
def test_coverage_scores_and_best_never_fall(commits):
    archive = Archive(CENTROIDS, qd_offset=-0.5)
    before = archive.view()
    for commit in commits:
        archive.commit(commit)
        after = archive.view()
        assert after.coverage >= before.coverage
        assert after.qd_score >= before.qd_score
        assert before.best is None or after.best.objective >= before.best.objective
        before = after


@settings(deadline=None)
@given(RUNS)
def test_restored_archive_is_the_same_in_everything(commits):
    archive, restored = Archive(CENTROIDS), Archive(CENTROIDS)
    restored.restore([outcome for commit in commits for outcome in archive.commit(commit)])
    assert restored.view() == archive.view()
    for name in ("visits", "improvements", "out_of_range"):
        assert (getattr(restored, name) == getattr(archive, name)).all()
    ours, theirs = archive.to_ribs(), restored.to_ribs()
    for field in ("index", "solution", "objective", "measures"):
        assert (ours.data(field) == theirs.data(field)).all()


@pytest.mark.long
@settings(deadline=None)
@given(RUNS)
def test_ribs_holds_the_same_elites(commits):
    archive = Archive(CENTROIDS, qd_offset=-1.0)
    accepted = [o.candidate for commit in commits for o in archive.commit(commit) if o.status != "reject"]
    view, ribs = archive.view(), archive.to_ribs()
    assert ribs.stats.qd_score == pytest.approx(view.qd_score)
    assert ribs.stats.coverage == pytest.approx(view.coverage)
    held = {
        cell: accepted[handle]
        for cell, handle in zip(*ribs.data(["index", "solution"]).values(), strict=True)
    }
    assert held == dict(zip(view.cells, view.elites, strict=True))


@pytest.mark.parametrize("p", [2, 3, 8])
def test_any_number_of_measures_is_that_of_the_centroids(p):
    rng = np.random.default_rng(p)
    centroids = halton_cvt(12, p, 0)
    archive, reference = Archive(centroids), Reference(centroids)
    for round in range(3):
        commit = [
            candidate((0, round, slot), rng.random(), tuple(rng.random(p)), tuple(rng.random(p) < 0.2))
            for slot in range(20)
        ]
        assert archive.commit(commit) == [reference.insert(item) for item in commit]
    ribs = archive.to_ribs()
    assert (ribs.measure_dim, len(archive.out_of_range)) == (p, p)
    held = [item.behaviour for _, item in sorted(reference.elites.items())]
    np.testing.assert_array_equal(ribs.data("measures"), held)
    with pytest.raises(ValueError, match=f"needs {p} measures, one per column of the centroids"):
        archive.commit([candidate((0, 9, 9), behaviour=(0.5,) * (p + 1), out_of_range=(False,) * (p + 1))])


def test_ribs_lists_its_elites_by_cell():
    archive = Archive(CENTROIDS)
    for slot, centroid in enumerate(CENTROIDS[::-1].tolist()):
        archive.commit([candidate((0, 0, slot), behaviour=tuple(centroid))])
    ribs = archive.to_ribs()
    assert ribs.data("index").tolist() == list(range(12))
    assert ribs.data("solution").tolist() == list(range(12))[::-1]


def test_a_tie_keeps_the_incumbent_then_the_smaller_id():
    archive = Archive(CENTROIDS)
    first, second, third = candidate((1, 0, 0)), candidate((1, 0, 1)), candidate((0, 0, 5))
    assert [o.status for o in archive.commit([second, first])] == ["insert", "reject"]
    assert archive.view().best == first
    assert [o.status for o in archive.commit([third])] == ["reject"]
    assert archive.view().best == first


def test_a_view_is_not_changed_by_later_commits():
    archive = Archive(CENTROIDS)
    empty = archive.view()
    archive.commit([candidate((0, 0, 0))])
    assert (len(empty.cells), len(archive.view().cells)) == (0, 1)


def test_what_is_given_out_is_a_copy():
    archive = Archive(CENTROIDS)
    archive.visits[0] = 7
    archive.to_ribs().add([0], [1.0], [CORNER])
    assert archive.visits.sum() == 0
    assert archive.commit([candidate((0, 0, 0))])[0].status == "insert"
    assert archive.to_ribs().stats.num_elites == 1


def test_an_empty_commit_changes_nothing():
    assert Archive(CENTROIDS).commit([]) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            candidate((3, 1, 4), math.nan),
            r"objective of component 3\.1\.4 must be finite and at least .*got nan",
        ),
        (candidate((3, 1, 4), math.inf), r"objective of component 3\.1\.4 must be finite"),
        (candidate((3, 1, 4), -0.1), r"objective of component 3\.1\.4 must be .* qd_offset 0\.0, got -0\.1"),
        (
            candidate((3, 1, 4), 0.5, (0.1, 0.2, math.nan, 0, 0)),
            r"behaviour of component 3\.1\.4 must be a point",
        ),
        (
            candidate((3, 1, 4), 0.5, (0.1, 0.2, 1.5, 0, 0)),
            r"behaviour of component 3\.1\.4 .*Ranges\.behaviour",
        ),
        (candidate((3, 1, 4), 0.5, (0.1, 0.2)), r"component 3\.1\.4 needs 5 measures"),
        (candidate((3, 1, 4), 0.5, out_of_range=(False,)), r"component 3\.1\.4 needs 5 measures"),
        (candidate((0, 0, 0)), r"component 0\.0\.0 competes twice in one commit"),
    ],
)
def test_a_bad_candidate_is_named_and_nothing_is_committed(bad, message):
    archive = Archive(CENTROIDS)
    with pytest.raises(ValueError, match=message):
        archive.commit([candidate((0, 0, 0)), bad])
    assert archive.view() == Archive(CENTROIDS).view()
    assert archive.visits.sum() == 0


def test_restore_names_an_outcome_that_cannot_be():
    (outcome,) = Archive(CENTROIDS).commit([candidate((2, 0, 1))])
    forged = dataclasses.replace(outcome, status="reject")
    with pytest.raises(
        ValueError, match=r"component 2\.0\.1 of round 1 is journaled as reject .* gives insert"
    ):
        Archive(CENTROIDS).restore([forged])


def test_refusals_of_the_archive_itself():
    with pytest.raises(ValueError, match="centroids must differ, but rows 0 and 1 are equal"):
        Archive(CENTROIDS[[0, 0]])
    with pytest.raises(ValueError, match="qd_offset must be finite, got nan"):
        Archive(CENTROIDS, math.nan)
