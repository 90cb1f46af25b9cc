import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qd.archive import Archive
from qd.centroids import halton_cvt
from qd.emitters.contest import Contest
from qd.fitness import Yardstick
from qd.measures import Ranges
from qd.records import Candidate, ComponentId

CENTROIDS = halton_cvt(6, 2, 0)
YARDSTICK = Yardstick(Ranges((0.0, 0.0), (1.0, 1.0)), 1.0, 1.0, (0.5,))
unit = st.floats(0, 1)


def candidate(organism: int, slot: int, behaviour: tuple[float, float], objective: float) -> Candidate:
    name = ComponentId(organism, 1, slot)
    return Candidate(name, (), name, 0, (), "0" * 64, 1, behaviour, (False, False), objective)


candidates = st.lists(st.tuples(st.tuples(unit, unit), st.sampled_from([0.1, 0.2, 0.3, 0.4])), max_size=12)


@given(candidates, candidates)
def test_who_contends_holds_the_same_cells_as_if_all_had_competed(elites, children):
    """What a chunk leaves out could not have stayed."""
    held = Archive(CENTROIDS)
    held.commit([candidate(0, slot, *one) for slot, one in enumerate(elites)])
    contest = Contest.of(held.view(), CENTROIDS, YARDSTICK)
    entrants = [candidate(1, slot, *one) for slot, one in enumerate(children)]
    contenders = [entrants[place] for place in contest.contenders(entrants)]
    all_, some = Archive(CENTROIDS), Archive(CENTROIDS)
    for archive, others in ((all_, entrants), (some, contenders)):
        archive.commit([candidate(0, slot, *one) for slot, one in enumerate(elites)])
        archive.commit(others)
    assert all_.view() == some.view()
    cells = contest.cells([one.behaviour for one in contenders]).tolist()
    assert len(set(cells)) == len(cells)
    assert all(one.objective > contest.held[cell] for one, cell in zip(contenders, cells, strict=True))


def test_the_cell_is_that_of_the_archive():
    rng = np.random.default_rng(0)
    points = rng.random((500, 2))
    contest = Contest.of(Archive(CENTROIDS).view(), CENTROIDS, YARDSTICK)
    assert (contest.held == -math.inf).all()
    np.testing.assert_array_equal(contest.cells(points), Archive(CENTROIDS).to_ribs().index_of(points))
    assert contest.cells([]).shape == (0,)
