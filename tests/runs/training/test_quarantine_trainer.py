"""Trainers whose organism loses its finiteness on purpose."""

import math
from dataclasses import replace

import pytest
import torch

from organisms.memory import Trace
from qd.canonical import sha256
from qd.records import ComponentId
from runs.trainer import advance
from runs.training.births.newborns import bear
from runs.training.build import build
from runs.training.optimise import batches, learning_rate, train
from runs.training.state import Individual, decode_state
from tests.faults.exploding import HOT, STEPS
from tests.fixtures.small_worlds import (
    DEFINED,
    birth,
    calibrated_spec,
    calibrated_world,
    death,
    order,
    small_config,
)

WORLD = calibrated_world()
HOTHEADS = {
    "pseudopods": "tests.faults.exploding:Hothead",
    "experts": "tests.faults.exploding:HotheadedExperts",
    "towers": "tests.faults.exploding:HotheadedTowers",
    "flow": "tests.faults.exploding:HotheadedFlow",
    "transformer": "tests.faults.exploding:HotheadedTransformer",
}


def world_of(kind="pseudopods", family="pseudopods", **sections):
    """A family's calibrated world with another in its place, whose calibration would have come out the same."""
    organism = {"kind": kind, family: dict(DEFINED[family].largest)}
    config = small_config(organism=organism, rounds=12, **sections)
    return build(replace(calibrated_spec(family), config=config.model_dump(mode="json", by_alias=True)))


def went(world, state, decision):
    report, state, genomes = advance(world, state, decision, {}, lambda: 0.0)
    assert report.census.state == sha256(state)
    assert bool(genomes) == bool(report.census.records) == (report.census.quarantine is None)
    return report.census, state, decode_state(world, state)


def same(one, other):
    """Say whether two organisms have the same components, weights and moments."""
    ours, theirs = one.organism.pool, other.organism.pool
    tensors = theirs.tensors()
    equal = all(torch.equal(tensor, tensors[name]) for name, tensor in ours.tensors().items())
    return equal and ours.occupants == theirs.occupants


@pytest.fixture(scope="module")
def hothead(family):
    return world_of(HOTHEADS[family], family)


class TestTrainer:
    def test_an_explosion_in_the_first_round_leaves_the_untrained_founder(self, family):
        """A real one: the learning rate is absurd."""
        wild = world_of(family, family, training={"learning_rate": 1e30, "clip": 1e30})
        census, _, after = went(wild, None, order(0, 1))
        assert census.quarantine.startswith("training loss became nan at optimizer step")
        assert same(after, went(wild, None, order(0, 1))[2])
        assert (after.round, after.step, after.trace.recall(), after.first_loss) == (1, 0, None, None)
        assert (after.rate_factor, after.quarantines) == (0.5, 1)
        founder = [ComponentId(0, 0, slot) for slot in range(3)]
        assert [occupant.component for _, occupant in after.organism.pool.alive()] == founder
        assert not after.organism.pool.counts.any()
        losses = (census.loss, census.loss_ema, census.first_loss, census.probe_loss, census.validation_loss)
        assert all(math.isnan(loss) for loss in (*losses, census.validation_score))
        assert (census.step, census.test_loss, census.test_score) == (0, None, None)

    def test_births_deaths_and_training_of_the_round_are_undone(self, hothead):
        _, state, before = went(hothead, None, order(1, 1))
        changed = order(1, 2, [birth(3, "random")], [death(ComponentId(1, 0, 1))])
        census, _, after = went(hothead, state, changed)
        assert census.quarantine == f"training loss became nan at optimizer step {STEPS}"
        assert same(after, before)
        assert (census.round, after.round, census.step, after.step) == (2, 2, STEPS, STEPS)
        assert (census.loss_ema, census.first_loss) == (before.trace.recall(), before.first_loss)
        assert math.isnan(census.loss)

    def test_every_quarantine_halves_the_learning_rate_and_a_finite_round_ends_the_row(self, hothead, family):
        _, state, _ = went(hothead, None, order(1, 1))
        found = []
        for round in (2, 3, 4):
            _, state, after = went(hothead, state, order(1, round))
            found.append((after.rate_factor, after.quarantines))
        assert found == [(0.5, 1), (0.25, 2), (0.125, 3)]
        plain = world_of(family, family)
        _, _, calm = went(plain, state, order(1, 5))
        assert (calm.rate_factor, calm.quarantines) == (0.125, 0)
        rate = WORLD.config.training.learning_rate
        eighth = world_of(family, family, training={"learning_rate": rate / 8})
        _, fresh, _ = went(plain, None, order(1, 1))
        assert same(went(eighth, fresh, order(1, 5))[2], calm)
        assert not same(went(plain, fresh, order(1, 5))[2], calm)

    def test_gradients_that_are_not_finite_are_found_too(self):
        world = world_of("tests.faults.exploding:Kinked")
        census, state, before = went(world, None, order(1, 1))
        assert census.quarantine is None
        census, _, after = went(world, state, order(1, 2))
        assert census.quarantine == "stacks.qk.U is not finite after optimizer step 6"
        assert same(after, before)

    def test_so_are_measures_of_guests(self):
        name = "tests.faults.exploding:strained"
        _, state, before = went(world_of(), None, order(1, 1))
        hot = [
            occupant.component
            for _, occupant in before.organism.pool.alive()
            if occupant.gene("temperature") > HOT
        ]
        census, _, after = went(world_of(measures=[*WORLD.config.measures[:4], name]), state, order(1, 2))
        assert census.quarantine == f"measure {name} of component {hot[0]} is inf"
        assert same(after, before)

    def test_a_re_seed_is_an_organism_of_the_births_alone_without_a_ramp_or_a_past(self, hothead, family):
        world = world_of(family, family)
        _, state, _ = went(hothead, None, order(1, 1))
        for round in (2, 3, 4):
            _, state, _ = went(hothead, state, order(1, round))
        again = replace(order(1, 5, [birth(slot, "random") for slot in (0, 2)], reseed=True), step=STEPS)
        census, _, after = went(world, state, again)
        assert [record.component for record in census.records] == [ComponentId(1, 5, 0), ComponentId(1, 5, 2)]
        assert (census.step, after.rate_factor, after.quarantines) == (2 * STEPS, 1.0, 0)
        assert census.first_loss == census.loss_ema == after.first_loss
        expected = newborn_organism(world, again)
        rate = learning_rate(world, STEPS * world.config.rounds)
        assert train(world, expected, batches(world, 1, 5, STEPS), rate) == census.loss
        assert same(after, expected)
        assert after.organism.pool.counts[[0, 2]].tolist() == [STEPS, STEPS]

    def test_a_re_seed_that_explodes_goes_back_and_counts_anew(self):
        doomed = world_of("tests.faults.exploding:Doomed")
        _, state, _ = went(doomed, None, order(1, 1))
        for round in (2, 3):
            _, state, before = went(doomed, state, order(1, round))
        _, _, after = went(doomed, state, order(1, 4, [birth(0, "random")], reseed=True))
        assert same(after, before)
        assert (before.quarantines, after.quarantines) == (3, 1)
        assert after.rate_factor == before.rate_factor / 2 == 1 / 16

    def test_the_same_arguments_give_the_same_bytes(self, hothead):
        _, state, _ = went(hothead, None, order(1, 1))
        first, second = (advance(hothead, state, order(1, 2), {}, lambda: 0.0) for _ in range(2))
        assert (first[0].census.state, first[1:]) == (second[0].census.state, second[1:])
        assert set(first[0].seconds) == {"prepare", "train", "total"}


def newborn_organism(world, decision):
    """The organism of a re-seed before it is trained."""
    organism = world.species.organism(world.interface)
    bear(world, organism, decision, {}, {})
    return Individual(1, organism, decision.round, decision.step, Trace(world.config.training.ema), None)
