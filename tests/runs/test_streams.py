"""Runs on streams: what is out of sight is answered with a memory and not without, and nothing else is different."""

import pytest
import torch

from archive_store.reading import open_run
from runs.config.reader import load
from runs.replay import decisions, replay
from runs.results.summary import summarise
from runs.resume import resume
from runs.training.births.newborns import founder
from runs.training.build import build
from runs.training.census import own_metrics
from runs.training.optimise import batches, learning_rate, train
from runs.training.world import WorldSpec
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import STREAM, contents, digests, launched


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """A small run on streams whose organisms remember; nobody may change it."""
    return launched(tmp_path_factory.mktemp("stream") / "run", *STREAM)


def test_it_replays_in_full_and_by_its_decisions(stream):
    assert replay(stream, None, {}) is None
    assert decisions(stream)[2] is None
    assert open_run(stream).emitters()["scored"].sum() > 0


def test_it_goes_on_after_a_kill_to_the_same_end(stream, tmp_path):
    killed(launch_and_die, tmp_path / "run", 2, *STREAM)
    resume(tmp_path / "run", {})
    assert digests(tmp_path / "run") == digests(stream)
    assert contents(tmp_path / "run") == contents(stream)


def test_it_reports_the_answers(stream):
    assert 0 <= summarise(stream).test_metrics["answered"] <= 1


def answers(*changes: str) -> float:
    """The share of questions that an organism answers that is trained with its interface for a while."""
    sizes = ("task.length=3", "task.chunks=3", "organism.dim=24", "organism.depth=1", "calibration.steps=150")
    config = load(
        "stream", [*sizes, "execution.executor=inline", "measures=[gradient_flow, write_strength]", *changes]
    )
    world = build(WorldSpec(config.model_dump(mode="json", by_alias=True)))
    individual = founder(world, -1, world.species.interface(torch.Generator().manual_seed(0)))
    steps = config.calibration.steps
    train(world, individual, batches(world, -1, 0, steps), learning_rate(world, steps), interface=True)
    ((_, share),) = own_metrics(world, individual.organism)
    return share


def test_what_is_out_of_sight_is_answered_with_a_memory_alone():
    assert answers() > 0.8
    assert answers("organism.pseudopods.memory=none") < 0.2
