"""The job of emitters on a small world: children, their scores, and who may win."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from archive_store.encoding import decode_genome, encode_genome
from organisms.pool import Occupant
from qd.canonical import sha256
from qd.centroids import halton_cvt
from qd.emitters.contest import Contest
from qd.emitters.kinds import KINDS, OWN
from qd.emitters.records import Campaign, Emission, Parent
from qd.fitness import Yardstick, candidate
from qd.measures import Ranges
from qd.records import ComponentId, Genome
from qd.seeding import generator
from runs.errors import RunError
from runs.training.births.newborns import founder
from runs.training.build import build
from runs.training.guests import scored
from runs.training.search.emit import conceive, conceived, emit
from runs.training.search.emitters import EMITTERS
from runs.training.search.fostering import fostered
from runs.training.search.rescore import rescore
from runs.training.variator import Variator
from tests.fixtures.small_worlds import DEFINED, calibrated_spec, calibrated_world

CHILDREN = 7
NEAR = {"scale_sigma": 0.05}  # so that children of parents that hardly learned are of use
FAMILIES = list(DEFINED)


def world_of(family="pseudopods", **emitters):
    """The small world, with other settings of the emitters."""
    if not emitters:
        return calibrated_world(family)
    spec = calibrated_spec(family)
    config = {**spec.config, "emitters": {**spec.config["emitters"], **emitters}}
    return build(dataclasses.replace(spec, config=config))


def elites(world) -> list[Genome]:
    pool = founder(world, 0).organism.pool
    return [pool.genome(slot) for slot, _ in pool.alive()]


def asked(world, emitter="iso_line", round=4):
    """An emission of the components of an organism, and their encoded genomes."""
    encoded = [encode_genome(genome) for genome in elites(world)]
    parents = tuple(
        Parent(ComponentId(0, 0, slot), ComponentId(0, 0, slot), sha256(data), 0)
        for slot, data in enumerate(encoded)
    )
    known = {sha256(data): data for data in encoded}
    if KINDS.get(emitter, OWN).adaptive:
        everyone = tuple(range(len(parents)))
        return Emission(round, 1, emitter, parents, (everyone,) * CHILDREN, Campaign(round, 1)), known
    children = tuple((place % len(parents), (place + 1) % len(parents)) for place in range(CHILDREN))
    return Emission(round, 1, emitter, parents, children), known


def contest(world, bar=-math.inf):
    """Cells in which only elites of this objective live."""
    p = len(world.config.measures)
    centroids = halton_cvt(64, p, 0)
    yardstick = Yardstick(Ranges((-4.0,) * p, (4.0,) * p), 0.1, 1e9, (0.01, 0.1))
    return Contest(centroids, np.full(64, bar), yardstick)


def clock():
    return 0.0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("emitter", KINDS)
class TestChildren:
    def test_they_fit_the_family_and_are_the_same_each_time(self, family, emitter):
        world = world_of(family)
        order, genomes = asked(world, emitter)
        children = conceived(world, order, genomes)
        encoded = [encode_genome(child) for child in children]
        assert encoded == [encode_genome(child) for child in conceived(world, order, genomes)]
        other, _ = asked(world, emitter, round=5)
        later = {encode_genome(child) for child in conceived(world, other, genomes)}
        if emitter == "gene":  # whose few values may be drawn twice
            assert not set(encoded) <= later
        else:
            assert len(set(encoded)) == CHILDREN
            assert not set(encoded) & {*later, *genomes.values()}

    def test_what_is_made_again_is_what_was_emitted(self, family, emitter):
        world = world_of(family)
        order, genomes = asked(world, emitter)
        report, _, brought = emit(world, order, genomes, contest(world), clock)
        _, _, again = conceive(world, order, genomes)
        assert set(again) == {sha256(encode_genome(child)) for child in conceived(world, order, genomes)}
        assert brought.items() <= again.items()
        assert {child.genome for child in report.emitted.contenders} == set(brought)


class TestOperators:
    def test_gene_changes_a_gene_and_gaussian_the_arrays(self):
        world = world_of()
        order, genomes = asked(world, "gene")
        parents = elites(world)
        for child, (first, _) in zip(conceived(world, order, genomes), order.children, strict=True):
            assert child.genes != parents[first].genes
        order, genomes = asked(world, "gaussian")
        for child, (first, _) in zip(conceived(world, order, genomes), order.children, strict=True):
            assert child.depth == parents[first].depth
            assert any(
                child.arrays[name].shape != array.shape or (child.arrays[name] != array).any()
                for name, array in parents[first].arrays.items()
            )

    @pytest.mark.parametrize("emitter", ["iso_line", "gaussian", "gradient"])
    def test_arrays_of_children_have_other_sizes_as_far_as_the_configuration_says(self, emitter):
        quiet = {"sigma": 0.0, "iso_sigma": 0.0, "learning_rate": 1e-30}
        spread = []
        for scale in (0.0, 0.4):
            world = world_of(**quiet, scale_sigma=scale)
            order, genomes = asked(world, emitter)
            alone = dataclasses.replace(order, children=((0,),) * CHILDREN)
            norm = np.linalg.norm(elites(world)[0].arrays["ov.V"])
            children = conceived(world, alone, genomes)
            kept = [child.arrays["ov.V"] for child in children if child.genes == elites(world)[0].genes]
            spread.append([np.log(np.linalg.norm(array) / norm) for array in kept])
        assert np.abs(spread[0]).max() < 1e-5
        assert 0.1 < np.std(spread[1]) < 1

    def test_a_strategy_moves_genes_to_the_ends_of_their_ranges_at_most(self):
        world = world_of()
        order, genomes = asked(world, "cma_mae")
        parents = elites(world)
        vary = Variator(world.species, generator(0, 0, "test"))
        most = vary.mixed(parents[:2], [9.0] * len(world.species.genes) + [0.0])
        assert dict(most.genes) == {name: gene.high for name, gene in world.species.genes.items()}
        assert len(conceived(world, order, genomes)) == CHILDREN

    def test_every_child_of_a_strategy_is_scored_and_told_of_whoever_holds_the_cells(self):
        world = world_of(race=0.25, cma_sigma=0.01)
        report, _, genomes = emit(world, *asked(world, "gradient"), contest(world), clock)
        parents = tuple(
            Parent(child.component, child.lineage, child.genome, 0) for child in report.emitted.contenders
        )
        everyone = (tuple(range(len(parents))),) * CHILDREN
        order = Emission(4, 1, "cma_mae", parents, everyone, Campaign(4, 1))
        held, free = (
            emit(world, order, genomes, contest(world, bar), clock)[0].emitted for bar in (2.0, -math.inf)
        )
        assert (held.scored, held.contenders) == (CHILDREN, ())
        assert held.tried == free.tried
        assert len(held.tried) == CHILDREN
        assert sum(each is not None for each in held.tried) == held.useful > 0
        for child in free.contenders:
            entrant = candidate(child, order.round, contest(world).yardstick)
            found = free.tried[child.component.slot]
            assert found.objective == entrant.objective
            assert [found.cell] == contest(world).cells([entrant.behaviour]).tolist()
        assert free.contenders

    def test_one_parent_alone_is_enough_for_a_line(self):
        world = world_of()
        order, genomes = asked(world, "iso_line")
        alone = dataclasses.replace(order, children=((0,), (1,)))
        assert len(conceived(world, alone, genomes)) == 2

    def test_the_table_of_makers_is_that_of_kinds(self):
        assert list(EMITTERS) == [name for name, kind in KINDS.items() if not kind.adaptive]

    def test_an_emitter_of_ones_own_is_used_and_one_that_raises_is_named(self):
        world = world_of(kinds=["tests.runs.training.search.test_emit:doubled"])
        order, genomes = asked(world, "tests.runs.training.search.test_emit:doubled")
        child = conceived(world, order, genomes)[0]
        np.testing.assert_array_equal(child.arrays["ov.V"], 2 * elites(world)[0].arrays["ov.V"])
        bad, _ = asked(world, "tests.runs.training.search.test_emit:broken")
        with pytest.raises(RunError, match=r"the emitter tests.*broken made no child: ValueError: no idea"):
            conceived(world, bad, genomes)
        other, _ = asked(world, "tests.runs.training.search.test_emit:of_another_family")
        with pytest.raises(RunError, match="made no child: ValueError: a genome of strangers does not fit"):
            conceived(world, other, genomes)


def doubled(parents, vary, config):
    return dataclasses.replace(
        parents[0], arrays={n: a * np.float32(2) for n, a in parents[0].arrays.items()}
    )


def broken(parents, vary, config):
    raise ValueError("no idea")


def of_another_family(parents, vary, config):
    return dataclasses.replace(parents[0], family="strangers")


@pytest.mark.parametrize("family", FAMILIES)
class TestScores:
    def test_contenders_are_what_scoring_each_child_alone_gives(self, family):
        world = world_of(family, race=1.0, **NEAR)
        order, genomes = asked(world, "gradient")
        bar = contest(world)
        report, payload, brought = emit(world, order, genomes, bar, clock)
        emitted = report.emitted
        assert (emitted.round, emitted.chunk, emitted.scored, payload) == (4, 1, CHILDREN, b"")
        children = conceived(world, order, genomes)
        rows = [scored(world, [child], world.hosts, world.probe)[0] for child in children]
        assert emitted.useful == sum(row.assay_lower > 0 for row in rows)
        assert emitted.mean_assay == pytest.approx(np.mean([row.assay for row in rows]), abs=1e-6)
        assert emitted.contenders
        for child in emitted.contenders:
            place = child.component.slot
            assert child.component == ComponentId(world.config.organism.count + 1, 4, place)
            assert child.parents == tuple(order.parents[one].component for one in order.children[place])
            assert child.measures == pytest.approx(rows[place].measures, abs=1e-4)
            assert child.assay == pytest.approx(rows[place].assay, abs=1e-6)
            assert child.assay_lower == pytest.approx(rows[place].assay_lower, abs=1e-6)
            assert child.assay_lower > 0
            assert sha256(brought[child.genome]) == child.genome
            assert decode_genome(brought[child.genome]).genes == child.genes == children[place].genes

    def test_who_cannot_beat_the_elites_does_not_contend(self, family):
        world = world_of(family, race=1.0, **NEAR)
        order, genomes = asked(world, "gradient")
        free = emit(world, order, genomes, contest(world), clock)[0].emitted
        entrants = [candidate(child, 4, contest(world).yardstick) for child in free.contenders]
        bar = float(np.median([one.objective for one in entrants]))
        held = emit(world, order, genomes, contest(world, bar), clock)[0].emitted
        assert [child.component for child in held.contenders] == [
            child.component
            for child, one in zip(free.contenders, entrants, strict=True)
            if one.objective > bar
        ]

    def test_a_race_drops_the_hopeless_and_changes_no_score(self, family):
        order, genomes = asked(world_of(family, **NEAR), "gradient")
        whole, raced = (
            emit(world_of(family, race=race, **NEAR), order, genomes, contest(world_of(family)), clock)[
                0
            ].emitted
            for race in (1.0, 0.25)
        )
        assert raced.scored <= whole.scored
        known = {child.component: child for child in whole.contenders}
        assert raced.contenders
        for child in raced.contenders:
            assert child.assay == pytest.approx(known[child.component].assay, abs=1e-6)
        nobody = emit(
            world_of(family, race=0.25, **NEAR), order, genomes, contest(world_of(family), 2.0), clock
        )[0].emitted
        assert (nobody.scored, nobody.contenders, nobody.mean_assay) == (0, (), None)
        assert nobody.flops < raced.flops < whole.flops * 1.3

    def test_no_host_is_changed_and_the_report_is_the_same_each_time(self, family):
        world = world_of(family)
        before = [host.pool.tensors() for host in world.host_organisms]
        before = [{name: tensor.clone() for name, tensor in each.items()} for each in before]
        order, genomes = asked(world, "gradient")
        first, second = (emit(world, order, genomes, contest(world), clock)[0].emitted for _ in range(2))
        assert first == second
        for host, tensors in zip(world.host_organisms, before, strict=True):
            assert all(torch.equal(tensor, tensors[name]) for name, tensor in host.pool.tensors().items())

    def test_flops_are_counted_by_grafts(self, family):
        world = world_of(family, race=1.0, **NEAR)
        order, genomes = asked(world, "gradient")
        cost = sum(world.species.cost(child.genes)[0] for child in conceived(world, order, genomes))
        steps = world.config.emitters.steps * world.config.training.batch
        wanted = (len(world.hosts) * len(world.probe) + 3 * steps) * cost
        assert emit(world, order, genomes, contest(world), clock)[0].emitted.flops == pytest.approx(wanted)

    def test_a_second_look_is_at_validation_examples(self, family):
        world = world_of(family)
        genome = elites(world)[0]
        (row,), _, _ = rescore(world, [encode_genome(genome)])
        drops = []
        inputs, targets = (
            part[: len(world.probe)] for part in (world.validation.inputs, world.validation.targets)
        )
        for home in world.host_organisms:
            host = world.species.host(home, inputs, targets)
            alone = world.species.organism(world.interface)
            alone.pool.graft(0, genome, Occupant.guest(genome.genes))
            drops.append((host.losses - world.species.guest_losses(alone, host)[0]).double())
        assert row.assay == pytest.approx(torch.stack(drops).mean().item(), abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
class TestFostering:
    def test_steps_in_the_hosts_lower_their_loss_with_the_child(self, family):
        world = world_of(family)
        genomes = elites(world)
        indices = torch.from_numpy(generator(0, 0, "x").integers(0, len(world.train), size=(30, 64)))
        trained = fostered(world, genomes, indices, 4e-3)
        before, after = (
            [row.assay for row in scored(world, each, world.hosts, world.probe)]
            for each in (genomes, trained)
        )
        assert np.mean(after) > np.mean(before)
        for one, other in zip(genomes, trained, strict=True):
            assert (one.genes, one.depth) == (other.genes, other.depth)
            assert {n: a.shape for n, a in one.arrays.items()} == {
                n: a.shape for n, a in other.arrays.items()
            }

    def test_a_genome_trains_alike_whoever_trains_beside_it(self, family):
        world = world_of(family)
        genomes = elites(world)
        indices = torch.from_numpy(generator(0, 0, "x").integers(0, len(world.train), size=(4, 16)))
        together = fostered(world, genomes, indices, 4e-3)
        alone = fostered(world, genomes[1:2], indices, 4e-3)[0]
        for name, array in alone.arrays.items():
            np.testing.assert_allclose(together[1].arrays[name], array, atol=2e-4)

    def test_it_may_have_no_part_of_some_kind(self, family):
        """Of each gene the lowest value: no tower has an attention stage."""
        world = world_of(family)
        genes = tuple((name, gene.low) for name, gene in sorted(world.species.genes.items()))
        genome = world.species.random_genome(0, genes, generator(0, 0, "genome"))
        indices = torch.from_numpy(generator(0, 0, "x").integers(0, len(world.train), size=(2, 16)))
        (trained,) = fostered(world, [genome], indices, 4e-3)
        assert encode_genome(trained) != encode_genome(genome)

    def test_a_step_is_taken_in_one_host_after_the_other(self, family):
        world = world_of(family)
        first, second, third = world.host_organisms
        other = dataclasses.replace(world, host_organisms=(first, third, second))
        indices = torch.from_numpy(generator(0, 0, "x").integers(0, len(world.train), size=(2, 16)))
        genomes = elites(world)[:1]

        def after(where, steps):
            return encode_genome(fostered(where, genomes, indices[:steps], 4e-3)[0])

        assert after(world, 1) == after(other, 1)
        assert after(world, 2) != after(other, 2)

    def test_gradients_are_clipped(self, family):
        spec = calibrated_spec(family)
        training = {**spec.config["training"], "clip": 1e-12}  # far under Adam's epsilon: hardly a step
        clipped = build(dataclasses.replace(spec, config={**spec.config, "training": training}))
        indices = torch.from_numpy(generator(0, 0, "x").integers(0, len(clipped.train), size=(3, 16)))
        genome = elites(clipped)[0]

        def change(where):
            after = fostered(where, [genome], indices, 4e-3)[0]
            return max(
                float(np.abs(after.arrays[name] - genome.arrays[name]).max(initial=0))
                for name in genome.arrays
            )

        assert change(clipped) < 1e-4 < 1e-3 < change(world_of(family))
