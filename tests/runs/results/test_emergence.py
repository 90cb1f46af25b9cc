from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from analysis import emergence as drawing
from analysis.emergence import Emergence
from analysis.rendering import NothingToDraw
from archive_store.reading import open_run
from organisms.nn import score
from runs.cli import app
from runs.results import pictured
from runs.results.best import organism_of, world_of
from runs.results.emergence import constant, dense, dense_width, emergence
from runs.results.summary import summarise
from tests.fixtures.small_runs import copied
from tests.fixtures.small_worlds import small_task


@pytest.fixture(scope="module")
def looked_at(finished):
    """A small run of each family, its world, its best organism, and what emerges."""
    run = open_run(finished)
    world = world_of(run, pictured.settings_of(run))
    return run, world, organism_of(run, world, pictured.newest_state(run)), emergence(run)


def test_a_part_alone_is_a_network_in_which_all_others_are_dead(looked_at):
    _, world, organism, found = looked_at
    slots = [slot for slot, _ in organism.pool.alive()]
    outputs = []
    for slot in slots:
        retired = {other: organism.pool.retire(other) for other in slots if other != slot}
        with torch.no_grad():
            outputs.append(organism(world.test.inputs))
        for other, was in retired.items():
            organism.pool.restore(other, was)
    targets = world.test.targets
    expected = {slot: score(world.task, given, targets) for slot, given in zip(slots, outputs, strict=True)}
    assert found.alone == pytest.approx(expected)
    assert found.average == pytest.approx(score(world.task, torch.stack(outputs).mean(0), targets))


def test_together_they_score_what_the_run_reports(looked_at):
    run, _, organism, found = looked_at
    summary = summarise(run.directory.path)
    assert (found.organism, found.together) == (summary.best_organism, pytest.approx(summary.best_accuracy))
    assert found.parameters == sum(
        array.size
        for slot, _ in organism.pool.alive()
        for array in organism.pool.genome(slot).arrays.values()
    )


def test_the_dense_network_is_as_large_sees_the_same_batches_and_is_the_same_each_time(looked_at):
    _, world, _, found = looked_at
    one, again, longer = (dense(world, found.organism, rounds, found.parameters) for rounds in (1, 1, 2))
    assert int(one.stats()["parameters"]) == found.dense_parameters
    width = one.pool.occupants[0].gene("width")
    step = one.stats()["parameters"] - dense_parameters(world.config.organism.dim, width - 1)
    assert abs(found.dense_parameters - found.parameters) <= step
    assert all(torch.equal(one.pool.stacks[name], again.pool.stacks[name]) for name in one.pool.stacks)
    assert not torch.equal(one.pool.stacks["read"], longer.pool.stacks["read"])
    assert longer.pool.counts.tolist() == [2 * world.config.training.steps_per_round]


def dense_parameters(dim, width):
    """Attention, two blocks of twice the width, and what is read and written."""
    return 4 * width**2 + 2 * 2 * (width * 2 * width) + 2 * dim * width


@pytest.mark.parametrize(("dim", "width"), [(64, 40), (12, 3), (32, 1)])
def test_a_width_is_that_of_the_nearest_number_of_parameters(dim, width):
    parameters = dense_parameters(dim, width)
    assert dense_width(dim, parameters) == width
    assert dense_width(dim, parameters + 1) == width


def test_a_constant_answer_is_the_most_frequent_class_or_the_mean():
    task = small_task("class", "discrete")
    train = replace(task.train, targets=np.array([3, 3, 3, 1, 0, 0, 2, 2, 1, 4, 4]))
    test = replace(task.test, targets=np.array([3, 0, 3, 1, 1, 1, 1, 1, 1, 4, 4]))
    assert constant(replace(task, train=train, test=test)) == pytest.approx(2 / 11)
    assert constant(small_task("sequence")) == 0


def test_rows_are_the_scores_in_their_order():
    shown = Emergence(0, 4, "accuracy", {0: 0.1, 5: 0.3}, 0.5, 0.9, 1200, 0.8, 1190, 0.15)
    assert list(shown.rows.values()) == [[0.15], [0.1, 0.3], [0.3], [0.5], [0.9], [0.8]]
    assert len(drawing.COLOURS) == len(shown.rows)


def test_what_cannot_be_drawn_is_a_reason(finished, tmp_path):
    run = copied(finished, tmp_path)
    (run / "manifest.json").unlink()
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("name: digits\n  path", "name: mine:digits\n  path"))
    with pytest.raises(
        NothingToDraw, match=r"needs code of its own \(task.name=mine:digits\), which plot does"
    ):
        emergence(open_run(run))


def test_an_organism_in_which_nothing_lives_has_nothing_to_draw(undisturbed, monkeypatch):
    def emptied(run, world, state):
        organism = organism_of(run, world, state)
        for slot, _ in list(organism.pool.alive()):
            organism.pool.retire(slot)
        return organism

    monkeypatch.setattr("runs.results.emergence.organism_of", emptied)
    with pytest.raises(NothingToDraw, match=r"has no living part in organism \d"):
        emergence(open_run(undisturbed))


def test_it_is_drawn_where_it_is_asked_for_by_name(undisturbed, tmp_path):
    def plot(*arguments):
        return CliRunner().invoke(app, ["plot", str(undisturbed), "--to", str(tmp_path), *arguments])

    result = plot("--kind", "emergence")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [str(tmp_path / "emergence.png")]
    assert (tmp_path / "emergence.png").read_bytes().startswith(b"\x89PNG")
