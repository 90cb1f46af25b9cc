import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from archive_store.encoding import decode_genome
from organisms.families import FAMILIES
from organisms.nn import example_losses, score
from qd.canonical import canonical, sha256
from qd.records import ComponentId
from runs import trainer
from runs.errors import RunError
from runs.trainer import JOBS, TIMED, advance
from runs.training import calibration_jobs
from runs.training.births import shadows
from runs.training.births.newborns import found
from runs.training.build import build, frozen
from runs.training.census import evaluate, lower_bounds, own_metrics, take_records
from runs.training.measures import measured
from runs.training.search import emit, rescore
from runs.training.state import decode_interface, decode_state, encode_state
from runs.training.world import Examples, WorldSpec
from tests.fixtures.small_worlds import (
    birth,
    calibrated_spec,
    calibrated_world,
    death,
    order,
    small_config,
    small_world,
)


def clock():
    """Seconds that go by, one a look."""
    return itertools.count().__next__


def life(world, organism=0):
    """Three rounds of an organism: a death and a birth before the second."""
    first = advance(world, None, order(organism, 1), {}, clock())
    changed = order(organism, 2, [birth(3, "random")], [death(ComponentId(organism, 0, 1))])
    second = advance(world, first[1], changed, {}, clock())
    third = advance(world, second[1], order(organism, 3), {}, clock())
    return [first, second, third]


def lives():
    """A life in the world of every family."""
    return [job for family in FAMILIES for job in life(calibrated_world(family))]


@pytest.fixture(scope="module", params=FAMILIES)
def world(request):
    return calibrated_world(request.param)


@pytest.fixture(scope="module")
def rounds(world):
    return life(world)


def spec_of(world):
    return calibrated_spec(world.species.family)


def digest(jobs) -> str:
    return sha256(canonical([[job[0].census, sha256(job[1]), sorted(job[2])] for job in jobs]))


class TestAdvance:
    def test_the_same_arguments_give_the_same_bytes(self, world, rounds):
        for one, other in zip(rounds, life(world), strict=True):
            assert one == other
        assert digest(rounds) == digest(life(world))

    def test_it_does_not_depend_on_what_came_before_on_this_process(self, world, rounds):
        torch.manual_seed(1)
        advance(world, None, order(6, 1), {}, clock())
        changed = order(0, 2, [birth(3, "random")], [death(ComponentId(0, 0, 1))])
        again = advance(build(spec_of(world)), rounds[0][1], changed, {}, clock())
        assert again == rounds[1]

    @pytest.mark.long
    def test_a_fresh_process_gives_the_same_bytes(self):
        """With another seed for the order of sets."""
        code = (
            "from runs.machine.settings import prepare; prepare();"
            "from tests.runs.test_trainer import digest, lives; print(digest(lives()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment("7")
        )
        assert done.stdout.strip() == digest(lives())

    def test_organism_round_and_seed_make_a_difference(self, world, rounds):
        assert advance(world, None, order(1, 1), {}, clock())[1] != rounds[0][1]
        seeded = replace(world, config=world.config.model_copy(update={"seed": 1}))
        assert advance(seeded, None, order(0, 1), {}, clock())[1] != rounds[0][1]

    def test_the_orders_arguments_are_not_changed(self, world, rounds):
        changed = order(0, 2, [birth(3, "random")], [death(ComponentId(0, 0, 1))])
        state, genomes = rounds[0][1], {"unused": b""}
        advance(world, state, changed, genomes, clock())
        assert sha256(state) == rounds[0][0].census.state
        assert genomes == {"unused": b""}

    def test_the_dead_are_gone_and_the_newborn_is_there(self, rounds):
        slots = [[r.component for r in job[0].census.records] for job in rounds]
        founders = [ComponentId(0, 0, slot) for slot in range(3)]
        assert slots[0] == founders
        assert slots[1] == slots[2] == [founders[0], founders[2], ComponentId(0, 2, 3)]
        newborn = rounds[1][0].census.records[-1]
        assert (newborn.parents, newborn.lineage) == ((), newborn.component)

    def test_deaths_and_births_that_do_not_happen_do_not(self, world, rounds):
        nothing = order(
            0, 2, [birth(3, "random", happens=False)], [death(ComponentId(0, 0, 1), happens=False)]
        )
        plain = advance(world, rounds[0][1], order(0, 2), {}, clock())
        assert advance(world, rounds[0][1], nothing, {}, clock()) == plain

    def test_a_newborn_may_take_the_place_of_the_dead(self, world, rounds):
        swapped = order(0, 2, [birth(1, "random")], [death(ComponentId(0, 0, 1))])
        report, _, _ = advance(world, rounds[0][1], swapped, {}, clock())
        assert [r.component for r in report.census.records] == [
            ComponentId(0, 0, 0),
            ComponentId(0, 0, 2),
            ComponentId(0, 2, 1),
        ]

    def test_steps_count_for_the_organism_and_for_each_slot(self, world, rounds):
        assert [job[0].census.step for job in rounds] == [3, 6, 9]
        pool = decode_state(world, rounds[2][1]).organism.pool
        assert pool.counts[[0, 2, 3]].tolist() == [9, 9, 6]

    def test_ages_are_rounds_lived(self, rounds):
        ages = [{r.component: r.age for r in job[0].census.records} for job in rounds]
        assert [age[ComponentId(0, 0, 0)] for age in ages] == [1, 2, 3]
        assert [age.get(ComponentId(0, 2, 3)) for age in ages] == [None, 1, 2]

    def test_losses_are_those_of_training(self, world, rounds):
        first, second, third = (job[0].census for job in rounds)
        assert first.first_loss == second.first_loss == third.first_loss
        assert first.loss_ema == first.first_loss  # before the first round there is no average
        averages = [decode_state(world, job[1]).trace.recall() for job in rounds]
        assert [second.loss_ema, third.loss_ema] == averages[:2]  # before the steps of the round
        assert all(math.isfinite(census.loss) for census in (first, second, third))

    def test_the_last_round_and_no_other_reads_the_test_split(self, world, rounds):
        for job, last in zip(rounds, (False, False, True), strict=True):
            census = job[0].census
            assert (census.test_loss is None, census.test_score is None) == (not last, not last)
        organism = decode_state(world, rounds[2][1]).organism
        census = rounds[2][0].census
        assert (census.test_loss, census.test_score) == evaluate(world, organism, world.test)

    def test_the_last_round_and_no_other_reports_what_the_task_asks_for(self, world, rounds):
        def metrics(outputs, split):
            right = outputs.argmax(-1) == split.targets
            return {"zeros": right[split.targets == 0].mean(), "all": right.mean(dtype=np.float32)}

        asked = replace(world, task=replace(world.task, metrics=metrics))
        assert advance(asked, rounds[0][1], order(0, 2), {}, clock())[0].census.test_metrics == ()
        report, state, _ = advance(asked, rounds[1][1], order(0, 3), {}, clock())
        assert [name for name, _ in report.census.test_metrics] == ["zeros", "all"]
        assert report.census.test_metrics[1][1] == pytest.approx(report.census.test_score)
        digits = world.test.targets == 0
        outputs = decode_state(world, state).organism(world.test.inputs[digits])
        right = score(world.task, outputs, world.test.targets[digits])
        assert report.census.test_metrics[0][1] == pytest.approx(right)
        assert (report.census, state) == (
            replace(rounds[2][0].census, test_metrics=report.census.test_metrics),
            rounds[2][1],
        )

    @pytest.mark.parametrize("found", [[0.5], {"zeros": "many"}, {0: 0.5}])
    def test_metrics_that_are_no_numbers_by_name_say_so(self, world, found, rounds):
        asked = replace(world, task=replace(world.task, metrics=lambda outputs, split: found))
        organism = decode_state(world, rounds[2][1]).organism
        with pytest.raises(RunError, match="metrics of the task 'digits' must be numbers by name; it gave"):
            own_metrics(asked, organism)

    def test_validation_is_that_of_the_state(self, world, rounds):
        for job in rounds:
            census, organism = job[0].census, decode_state(world, job[1]).organism
            found_ = evaluate(world, organism, world.validation)
            assert (census.validation_loss, census.validation_score) == found_

    def test_the_census_names_the_state_and_every_genome(self, rounds):
        for report, state, genomes in rounds:
            assert report.census.state == sha256(state)
            assert {r.genome for r in report.census.records} == set(genomes)
            assert all(sha256(data) == name for name, data in genomes.items())

    def test_what_is_archived_is_what_was_trained(self, world, rounds):
        for report, state, genomes in rounds:
            pool = decode_state(world, state).organism.pool
            for record in report.census.records:
                stored, living = decode_genome(genomes[record.genome]), pool.genome(record.component.slot)
                assert (stored.genes, stored.depth) == (record.genes, record.depth)
                assert {n: a.tobytes() for n, a in stored.arrays.items()} == {
                    n: a.tobytes() for n, a in living.arrays.items()
                }

    def test_seconds_are_those_of_the_clock_and_of_no_consequence(self, world, rounds):
        report, state, genomes = advance(world, None, order(0, 1), {}, lambda: 5.0)
        assert set(report.seconds) == {"prepare", "train", "probe", "assay", "genomes", "total"}
        assert set(report.seconds.values()) == {0.0}
        assert all(value > 0 for value in rounds[0][0].seconds.values())
        assert (report.census, state, genomes) == (rounds[0][0].census, *rounds[0][1:])


@pytest.fixture(scope="module")
def taken(world, rounds):
    individual = decode_state(world, rounds[2][1])
    return individual, *take_records(world, individual, clock())


class TestRecords:
    def test_they_are_in_the_order_of_component_ids_and_say_the_census_again(self, taken, rounds):
        _, records, encoded, probe, _ = taken
        census = rounds[2][0].census
        assert tuple(records) == census.records
        assert records == sorted(records, key=lambda record: record.component)
        assert encoded == rounds[2][2]
        assert probe.loss == census.probe_loss

    def test_every_number_belongs_to_its_slot(self, world, taken):
        individual, records, _, _, _ = taken
        organism, family = individual.organism, world.species
        probe = family.probe(organism, world.probe.inputs, world.probe.targets)
        assay = family.assay(organism, world.hosts)
        measures = measured(world, organism, assay, world.host_organisms, world.probe)
        for record in records:
            row = probe.slots.index(record.component.slot)
            assert record.measures == tuple(measures[row].tolist())
            assert record.ablation == probe.ablations[row].item()
            assert record.gradient == assay.gradients[row].item()
            assert record.assay == pytest.approx(assay.drops[row].mean().item(), rel=1e-12)
            assert (record.flops, record.bytes) == family.cost(record.genes)
            occupant = organism.pool.occupants[record.component.slot]
            assert (record.component, record.parents, record.lineage, record.genes) == (
                occupant.component,
                occupant.parents,
                occupant.lineage,
                occupant.genes,
            )

    def test_they_do_not_depend_on_which_slot_comes_first(self, world):
        """An old component in a high slot comes before a young one in a low slot."""
        individual = decode_state(world, encode_state_of(world, order(2, 1)))
        individual.organism.pool.retire(0)
        state = encode_state(individual)
        report, _, _ = advance(world, state, order(2, 2, [birth(0, "random")]), {}, clock())
        assert [r.component.slot for r in report.census.records] == [1, 2, 0]

    def test_the_lower_bound_is_a_one_sided_normal_one(self):
        drops = torch.from_numpy(np.random.default_rng(0).normal(0.2, 1.5, size=(4, 97)))
        rows = drops.numpy()
        expected = [NormalDist(row.mean(), row.std(ddof=1) / 97**0.5).inv_cdf(0.05) for row in rows]
        np.testing.assert_allclose(lower_bounds(drops).numpy(), expected)

    def test_the_lower_bound_lies_under_the_true_mean_19_times_of_20(self):
        drops = torch.from_numpy(np.random.default_rng(1).normal(0.2, 1.5, size=(4000, 50)))
        assert (lower_bounds(drops) < 0.2).double().mean().item() == pytest.approx(0.95, abs=0.015)


def encode_state_of(world, decision):
    return advance(world, None, decision, {}, clock())[1]


class TestEvaluate:
    def test_it_is_the_loss_and_score_of_the_whole_split(self, world):
        organism = found(world, 0)
        loss, found_score = evaluate(world, organism, world.validation)
        outputs = organism(world.validation.inputs)
        assert loss == pytest.approx(F.cross_entropy(outputs, world.validation.targets).item(), rel=1e-5)
        assert found_score == score(world.task, outputs, world.validation.targets)

    def test_pieces_of_bounded_size_give_the_same(self, world):
        wide = replace(world, task=replace(world.task, outputs=2**17))  # two examples a piece
        organism = found(world, 0)
        assert evaluate(wide, organism, world.probe) == pytest.approx(evaluate(world, organism, world.probe))


class TestCalibrationJobs:
    def test_the_interface_is_trained_and_comes_the_same_each_time(self, world):
        bare = build(replace(spec_of(world), interface=None, hosts=()))
        fit, data, genomes = calibration_jobs.interface(bare)
        assert data == spec_of(world).interface
        assert genomes == {}
        assert math.isfinite(fit.loss)
        assert (fit.first > 0, fit.constant > 0) == (True, True)
        trained = decode_interface(data, world.device)
        assert trained["bias"].any()  # it is drawn as zeros
        assert not any(tensor.requires_grad for tensor in trained.values())

    def test_a_calibration_that_diverges_is_one_sentence(self, world):
        config = small_config(
            organism={"kind": world.species.family}, training={"learning_rate": 1e30, "clip": 1e30}
        )
        wild = replace(world, config=config)
        told = (
            r"loss of organism {} became (nan|inf) in calibration, optimizer step \d; lower training\.learn"
        )
        with pytest.raises(RunError, match=told.format(-1)):
            calibration_jobs.interface(wild)
        with pytest.raises(RunError, match=told.format(-5)):
            calibration_jobs.reference(wild, -5)

    def test_a_reference_leaves_its_state_at_every_checkpoint(self, world):
        marks, state, states = calibration_jobs.reference(world, -5)
        assert [step for step, _ in marks] == [3, 6]
        assert {digest: sha256(encoded) for digest, encoded in states.items()} == {d: d for _, d in marks}
        assert states[marks[-1][1]] == state
        individual = decode_state(world, state)
        assert (individual.number, individual.step) == (-5, 6)

    def test_measuring_in_between_does_not_disturb_training(self, world):
        config = small_config(organism={"kind": world.species.family}, calibration={"checkpoints": [1.0]})
        once = small_world(config, interface=spec_of(world).interface)
        assert calibration_jobs.reference(once, -5)[1] == calibration_jobs.reference(world, -5)[1]

    def test_components_are_measured_in_the_hosts_at_every_checkpoint_and_assayed_at_the_last(self, world):
        states = states_of(world, -5)
        report, payload, genomes = calibration_jobs.assays(world, -5, states)
        assert (payload, genomes) == (b"", {})
        assert [(sample.organism, sample.step) for sample in report.samples] == [(-5, 3), (-5, 6)]
        for sample, state in zip(report.samples, states, strict=True):
            assert sample.measures == measures_in(world, state, world.host_organisms, world.probe)
        drops = world.species.assay(decode_state(world, states[-1]).organism, world.hosts).drops
        np.testing.assert_allclose([each.mean for each in report.worth], drops.mean(-1).tolist())
        np.testing.assert_allclose([each.lower for each in report.worth], lower_bounds(drops).tolist())
        assert report.even != report.odd
        for first, half in ((0, report.even), (1, report.odd)):
            examples = Examples(world.probe.inputs[first::2], world.probe.targets[first::2])
            assert half == measures_in(world, states[-1], world.host_organisms, examples)

    def test_a_host_is_measured_in_the_other_hosts(self, world):
        states = states_of(world, -3)
        report, _, _ = calibration_jobs.assays(world, -3, states)
        others = [world.host_organisms[0], world.host_organisms[2]]
        assert report.samples[-1].measures == measures_in(world, states[-1], others, world.probe)
        assert report.samples[-1].measures != measures_in(
            world, states[-1], world.host_organisms, world.probe
        )

    def test_jobs_are_named_and_only_rounds_take_a_clock(self):
        assert dict(JOBS) == {
            "advance": trainer.advance,
            "advance again": trainer.advance,
            "audit": trainer.advance,
            "interface": calibration_jobs.interface,
            "reference": calibration_jobs.reference,
            "assays": calibration_jobs.assays,
            "emit": emit.emit,
            "audit emit": emit.emit,
            "conceive": emit.conceive,
            "rescore": rescore.rescore,
            **{
                f"shadow {material}": shadows.shadow
                for material in ("born", "random", "genes", "clone", "empty")
            },
        }
        assert tuple(TIMED) == ("advance", "advance again", "audit", "emit", "audit emit")


def states_of(world, number):
    marks, _, states = calibration_jobs.reference(world, number)
    return [states[digest] for _, digest in marks]


def measures_in(world, state, hosts, examples):
    organism = decode_state(world, state).organism
    assay = world.species.assay(organism, frozen(world, hosts, examples))
    return measured(world, organism, assay, hosts, examples).tolist()


TASKS = {
    "sine": {"name": "sine", "length": 5, "examples": 50},
    "xor": {"name": "xor", "length": 8, "examples": 50},
    "signals": {"name": "signals", "length": 8, "examples": 50, "kinds": ["sine", "spiral"]},
    "trajectories": {"name": "trajectories", "length": 8, "examples": 50, "kinds": ["helix"]},
    "text": {"name": "text", "length": 6, "examples": 50},
    "text in chunks": {"name": "text", "length": 3, "examples": 50, "stream": True, "chunks": 2},
    "recall": {"name": "recall", "length": 3, "chunks": 3, "examples": 50},
}


@pytest.mark.parametrize("name", TASKS)
def test_every_kind_of_task_goes_through_a_round(name):
    memory = {"pseudopods": {"memory": "tubes"}} if name == "recall" else {}
    config = small_config(rounds=1, task=TASKS[name], organism={"depth": 2} | memory)
    corpus = b"A slime mold is no mold. " * 400 if name.startswith("text") else None
    spec = WorldSpec(config.model_dump(mode="json", by_alias=True), corpus)
    spec = replace(spec, interface=calibration_jobs.interface(build(spec))[1])
    spec = replace(
        spec, hosts=tuple(calibration_jobs.reference(build(spec), number)[1] for number in (-2, -3, -4))
    )
    world = build(spec)
    report, state, _ = advance(world, None, order(0, 1), {}, clock())
    assert [record.depth for record in report.census.records] == [0, 0, 0, 1, 1, 1]
    outputs = decode_state(world, state).organism(world.test.inputs)
    expected = example_losses(world.task, outputs, world.test.targets).double().mean().item()
    assert report.census.test_loss == pytest.approx(expected, rel=1e-6)


def environment(hash_seed) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
