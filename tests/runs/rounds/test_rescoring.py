"""The second look at the elites, in runs in miniature."""

from collections import Counter

import pytest

from archive_store.journal.values import values
from archive_store.reading import open_run
from qd.emitters.records import HeldOut
from runs.replay import decisions
from tests.faults.crashes import memory
from tests.faults.fake_trainers import answer, calibration
from tests.fixtures.miniature import launch, miniature

YARDSTICK = calibration().yardstick


@pytest.fixture(scope="module", params=[None, 2])
def run(request):
    config = miniature(**{"archive.rescore_every": request.param or "null"})
    with memory() as folder:
        launch(folder / "run", config)
        yield config, open_run(folder / "run")


def looks(run) -> list[HeldOut]:
    with run.directory.journal() as journal:
        return list(values(journal.events(kind="held_out"), HeldOut))


def test_it_comes_at_the_end_and_by_choice(run):
    config, opened = run
    every = config.archive.rescore_every
    wanted = [round for round in range(1, 6) if round == 5 or (every and round % every == 0)]
    assert [look.round for look in looks(opened)] == wanted
    frame = opened.rounds().set_index("round")
    assert list(frame.index[frame["held_out_qd_score"].notna()]) == wanted


def test_every_elite_is_scored_again_by_the_same_yardstick(run):
    config, opened = run
    last = looks(opened)[-1]
    elites = opened.elites()
    assert [elite.cell for elite in last.elites] == list(elites["cell"])
    yardstick = opened_yardstick(config)
    cells = Counter()
    archive = calibration().centroids
    best: dict[int, float] = {}
    for found, digest in zip(last.elites, elites["genome"], strict=True):
        genome = opened.directory.blobs.get(digest)
        (row,) = answer(config, (genome,))[0]
        assert found.assay == row.assay
        assert found.objective == yardstick.objective(row.assay, row.flops, row.gradient)
        assert found.behaviour == row.measures  # ranges from 0 to 1
        if row.assay_lower > 0:
            cell = int(((archive - row.measures) ** 2).sum(1).argmin())
            cells[cell] += 1
            best[cell] = max(best.get(cell, 0.0), found.objective)
    assert last.useful == sum(cells.values())
    assert last.coverage == pytest.approx(len(cells) / len(archive))
    assert last.qd_score == pytest.approx(sum(best.values()))
    assert last.best_objective == max(best.values())
    frame = opened.held_out()
    assert list(frame[frame["round"] == 5]["objective"]) == [elite.objective for elite in last.elites]


def opened_yardstick(config):
    return YARDSTICK(config.objective)


def test_decisions_are_derived_without_it(run):
    _, opened = run
    _, _, difference = decisions(opened.directory.path)
    assert difference is None
