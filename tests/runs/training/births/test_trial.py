from dataclasses import replace
from math import nan

import numpy as np
import pytest
import torch

from archive_store.encoding import encode_genome
from organisms.families import FAMILIES
from organisms.nn import example_losses
from organisms.pool import Occupant
from qd.canonical import sha256
from qd.genes import random_genes
from qd.lifecycle.trial import choose
from qd.records import ComponentId, Death, Proposal
from qd.seeding import generator
from runs.trainer import advance
from runs.training.births.newborns import bear, found
from runs.training.births.trial import losses_with, tried
from runs.training.build import build, set_aside
from runs.training.state import decode_state
from tests.fixtures.small_worlds import (
    birth,
    calibrated_spec,
    calibrated_world,
    order,
    small_config,
    small_world,
)

SLOT = 3  # the only free one
WEAKEST = ComponentId(7, 0, 1)


@pytest.fixture(scope="module", params=FAMILIES)
def world(request):
    return calibrated_world(request.param)


def elite(world, seed, depth=0):
    rng = generator(seed, 0, "elite")
    return world.species.random_genome(depth, random_genes(world.species.genes, rng), rng)


def sent(world, count=6, slot=SLOT, **fields):
    """A birth of so many elites that are not varied, with their genomes."""
    encoded = [encode_genome(elite(world, seed)) for seed in range(count)]
    digests = [sha256(data) for data in encoded]
    proposals = [
        Proposal("gaussian", (ComponentId(5, 2, n),), (digest,), ComponentId(5, 0, n))
        for n, digest in enumerate(digests)
    ]
    first = birth(slot, "gaussian", proposals[0].parents, proposals[0].genomes, proposals[0].lineage, 0.0)
    made = replace(first, others=tuple(proposals[1:]), tried=True, **fields)
    return made, dict(zip(digests, encoded, strict=True))


def still(world, **lifecycle):
    """The world without new genes, so that a newborn of no noise is its parent."""
    config = world.config.model_copy(
        update={
            "variation": world.config.variation.model_copy(update={"gene_rate": 0.0}),
            "lifecycle": world.config.lifecycle.model_copy(update=lifecycle),
        }
    )
    return replace(world, config=config)


def at_strength(world, genome, strength):
    """The genome with its outputs multiplied."""
    outputs = {name: np.float32(strength) * genome.arrays[name] for name in world.species.outputs}
    return replace(genome, arrays=genome.arrays | outputs)


def loss_with(world, organism, genome, slot=SLOT):
    """The mean loss on the examples of trials with a genome grafted for good."""
    identity = ComponentId(7, 4, slot)
    organism.pool.graft(slot, genome, Occupant(identity, (), identity, genome.genes))
    return loss(world, organism)


@torch.no_grad()
def loss(world, organism):
    outputs = organism(world.trial.inputs)
    return float(example_losses(world.task, outputs, world.trial.targets).double().mean())


class TestGains:
    def test_each_is_what_the_graft_does_for_real(self, world):
        quiet = still(world, only_gains=False)
        made, genomes = sent(world)
        (trial,), _ = bear(quiet, found(world, 7), order(7, 4, [made]), genomes, {})
        before = loss(world, found(world, 7))
        assert trial.loss == pytest.approx(before, abs=1e-6)
        assert len(trial.gains) == 6  # more than there are slots in a layer
        for number, (gain, strength) in enumerate(zip(trial.gains, trial.strengths, strict=True)):
            gains = {
                each: before
                - loss_with(world, found(world, 7), at_strength(world, elite(world, number), each))
                for each in world.config.lifecycle.strengths
            }
            assert gain == pytest.approx(max(gains.values()), abs=1e-5)
            assert gains[strength] == pytest.approx(gain, abs=1e-5)
        assert (len(set(trial.strengths)) > 1) == bool(world.species.outputs)

    def test_they_are_counted(self, world):
        quiet = still(world, strengths=(1.0, 0.5))
        made, genomes = sent(world)
        (trial,), _ = bear(quiet, found(world, 7), order(7, 4, [made]), genomes, {})
        forward = sum(world.species.cost(elite(world, seed).genes)[0] for seed in range(6))
        times = 2 if world.species.outputs else 1
        assert trial.flops == pytest.approx(times * len(world.trial) * forward)

    def test_a_loss_that_is_no_number_is_no_gain(self, monkeypatch):
        world = calibrated_world("pseudopods")
        losses = torch.tensor([[nan, 2.0, nan], [3.0, 1.0, nan]], dtype=torch.float64).view(6, 1)
        monkeypatch.setattr("runs.training.births.trial.losses_with", lambda *_: losses)
        quiet = still(world, strengths=(1.0, 0.5))
        made, _ = sent(world, 3)
        candidates = [elite(world, seed) for seed in range(3)]
        trial = tried(quiet, found(world, 7), made, candidates, None)
        assert trial.strengths == (0.5, 0.5, 1.0)
        assert trial.gains[:2] == (trial.loss - 3, trial.loss - 1)
        assert not trial.gains[2] > 0

    def test_where_one_gave_way_before_is_with_it(self, world):
        quiet = still(world, only_gains=False)
        made, genomes = sent(world, 3, slot=1)
        organism = found(world, 7)
        before = loss(world, organism)
        gave_way = organism.pool.retire(1)
        (trial,), _ = bear(quiet, organism, order(7, 4, [made]), genomes, {1: gave_way})
        assert trial.loss == pytest.approx(before, abs=1e-6)
        for number, (gain, strength) in enumerate(zip(trial.gains, trial.strengths, strict=True)):
            other = found(world, 7)
            other.pool.retire(1)
            after = loss_with(world, other, at_strength(world, elite(world, number), strength), 1)
            assert gain == pytest.approx(before - after, abs=1e-5)

    def test_in_a_deeper_organism_the_layers_after_it_count(self, world):
        config = small_config(organism={"kind": world.species.family, "depth": 2})
        deep = small_world(config)
        deep = replace(deep, interface=deep.species.interface(torch.Generator().manual_seed(0)))
        for depth in (0, 1):
            slot = SLOT + 4 * depth
            candidates = [elite(deep, seed, depth) for seed in range(3)]
            losses = losses_with(deep, found(deep, 0), candidates).mean(-1).tolist()
            for after, candidate in zip(losses, candidates, strict=True):
                assert after == pytest.approx(loss_with(deep, found(deep, 0), candidate, slot), abs=1e-5)


class TestChoice:
    @pytest.mark.parametrize(("draw", "best"), [(0.9, True), (0.1, False)])
    def test_the_best_is_born_or_by_annealed_chance_another(self, world, draw, best):
        quiet = still(world, only_gains=False)
        made, genomes = sent(world, exploration=0.3, exploration_draw=draw)
        organism = found(world, 7)
        (trial,), _ = bear(quiet, organism, order(7, 4, [made]), genomes, {})
        largest = max(range(6), key=lambda number: trial.gains[number])
        assert (trial.chosen == largest) == best
        assert trial.chosen == choose(made, trial.gains, only_gains=False)
        occupant = organism.pool.occupants[SLOT]
        assert occupant.parents == (ComponentId(5, 2, trial.chosen),)
        assert occupant.lineage == ComponentId(5, 0, trial.chosen)
        stored = organism.pool.genome(SLOT)
        wanted = at_strength(world, elite(world, trial.chosen), trial.strengths[trial.chosen])
        assert {n: a.tobytes() for n, a in stored.arrays.items()} == {
            n: a.tobytes() for n, a in wanted.arrays.items()
        }

    def test_each_candidate_is_varied_by_a_stream_of_its_own(self, world):
        made, genomes = sent(world, 2)
        same = replace(made, others=(made.proposals[0],), sigma=0.1)
        (trial,), _ = bear(still(world), found(world, 7), order(7, 4, [same]), genomes, {})
        assert trial.gains[0] != trial.gains[1]

    def test_nothing_is_born_without_a_gain_and_who_gave_way_comes_back(self, world):
        made, genomes = sent(world, 24, slot=1)  # so many that one of them does harm
        organism, untouched = found(world, 7), found(world, 7)
        organism.pool.counts[:] = untouched.pool.counts[:] = 5
        gave_way = organism.pool.retire(1)
        full = still(world, strengths=(1.0,))
        (trial,), _ = bear(full, organism, order(7, 4, [made]), genomes, {1: gave_way})
        worst = made.proposals[min(range(24), key=lambda number: trial.gains[number])]
        if trial.chosen is not None:
            organism.pool.retire(1)
        made = replace(made, parents=worst.parents, genomes=worst.genomes, others=())
        (trial,), unproven = bear(full, organism, order(7, 4, [made]), genomes, {1: gave_way})
        assert (trial.chosen, unproven) == (None, [])
        assert trial.gains[0] <= 0
        assert organism.pool.occupants == untouched.pool.occupants
        for name, tensor in untouched.pool.tensors().items():
            assert tensor.equal(organism.pool.tensors()[name])

    def test_a_second_birth_is_tried_beside_the_first(self, world):
        wide = small_config(organism={"kind": world.species.family, "capacity": 6})
        roomy = still(
            small_world(wide, interface=calibrated_spec(world.species.family).interface), only_gains=False
        )
        one, genomes = sent(world, 2)
        other, _ = sent(world, 2, slot=4)
        organism = found(roomy, 7)
        first, second = bear(roomy, organism, order(7, 4, [one, other]), genomes, {})[0]
        alone = found(roomy, 7)
        loss_with(roomy, alone, at_strength(world, elite(world, first.chosen), first.strengths[first.chosen]))
        assert second.loss == pytest.approx(loss(roomy, alone), abs=1e-6)


class TestRound:
    def test_the_census_has_the_trial_and_the_newborn_that_it_chose(self, world):
        quiet = still(world, only_gains=False)
        state = advance(quiet, None, order(0, 1), {}, lambda: 0.0)[1]
        made, genomes = sent(world)
        report, after, _ = advance(quiet, state, order(0, 2, [made]), genomes, lambda: 0.0)
        (trial,) = report.census.trials
        newborn = report.census.records[-1]
        assert newborn.component == ComponentId(0, 2, SLOT)
        assert newborn.parents == (ComponentId(5, 2, trial.chosen),)
        assert decode_state(world, after).organism.pool.occupants[SLOT].parents == newborn.parents
        looks = (1 + len(world.hosts)) * len(world.probe)
        forward = sum(record.flops for record in report.census.records)
        assert trial.flops > 0
        assert report.census.flops_assays == pytest.approx(looks * forward + trial.flops)

    def test_a_death_for_room_comes_true_with_the_birth_alone(self, world):
        state = advance(world, None, order(0, 1), {}, lambda: 0.0)[1]
        made, genomes = sent(world, 2, slot=1)
        death = Death(ComponentId(0, 0, 1), -1.0, 0.0, 1.0, 0.1, "room", True)
        for only_gains in (True, False):
            report, _, _ = advance(
                still(world, only_gains=only_gains), state, order(0, 2, [made], [death]), genomes, lambda: 0.0
            )
            (trial,) = report.census.trials
            living = [record.component for record in report.census.records if record.component.slot == 1]
            assert living == [ComponentId(0, 0 if trial.chosen is None else 2, 1)]
            assert (trial.chosen is None) <= only_gains


class TestExamples:
    def test_an_eighth_of_the_training_examples_is_set_aside_and_no_batch_has_one(self, world):
        task = build(calibrated_spec(world.species.family)).task
        assert (len(world.trial), len(world.train)) == (25, 175)
        together = torch.cat([world.trial.inputs, world.train.inputs])
        rows = {tuple(row.flatten().tolist()) for row in together}
        assert rows == {tuple(row.flatten().tolist()) for row in torch.from_numpy(task.train.inputs)}

    @pytest.mark.parametrize(("examples", "count"), [(4000, 256), (800, 100), (9, 1), (2, 1), (1, 0)])
    def test_there_are_as_many_as_configured_but_at_most_an_eighth(self, examples, count):
        aside = set_aside(small_config(), examples)
        assert (len(aside), int(aside.sum())) == (examples, count)
        assert aside.equal(set_aside(small_config(), examples))
        if examples == 4000:
            assert not aside.equal(set_aside(small_config(seed=1), examples))
