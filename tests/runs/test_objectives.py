"""Runs by other objectives, another living fitness and other losses than the usual ones."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from archive_store.reading import open_run
from organisms.contrastive import contrastive, views
from organisms.families import FAMILIES
from organisms.layers.norms import rms_norm
from organisms.nn import example_losses
from organisms.pseudopods.species import Pseudopods
from organisms.task import Split, Task
from runs.config.schema import scientific
from runs.errors import ConfigError, RunError
from runs.prepared import prepare, users_own
from runs.replay import decisions
from runs.training.optimise import training_loss
from tests.fixtures.naive_interface import parts
from tests.fixtures.small_runs import digests, launched, small
from tests.fixtures.small_worlds import DEFINED
from tests.runs.training.test_optimise import individual_of, rows, world_of

LEAST = "objective.maturity=0"


@pytest.mark.parametrize("kind", ["alignment", "information"])
def test_elites_are_compared_by_their_worth(tmp_path, kind):
    own = ("objective.task=1", "objective.efficiency=0", "objective.gradient=0", LEAST)
    path = launched(tmp_path / "run", f"objective.kind={kind}", *own, "calibration.steps=60")
    run = open_run(path)
    records, children = run.records(), run.children()
    assert records["worth"].between(-1, 1).all()
    assert records["worth"].nunique() > 2
    worths = {**records.set_index("genome")["worth"], **children.set_index("genome")["worth"]}
    elites = run.elites()
    assert len(elites) > 0
    for genome, objective in elites[["genome", "objective"]].itertuples(index=False):
        assert objective == max(0.0, worths[genome])
    assert decisions(path)[2] is None, "a replay decides the same"
    assert len(run.held_out()) > 0


def test_usually_there_is_no_worth_and_a_digest_knows_of_the_keys_only_where_they_are_used(tmp_path):
    assert open_run(launched(tmp_path / "run", "rounds=1")).records()["worth"].isna().all()
    usual = scientific(small())
    assert "kind" not in usual["objective"]
    assert "efficiency" not in usual["lifecycle"]
    assert "loss" not in usual["training"]
    chosen = scientific(
        small("objective.kind=information", "lifecycle.efficiency=0.5", "training.loss.contrastive=1")
    )
    assert chosen["objective"]["kind"] == "information"
    assert chosen["lifecycle"]["efficiency"] == 0.5
    assert chosen["training"]["loss"]["contrastive"] == 1


def test_efficiency_in_the_living_fitness_changes_who_dies(tmp_path):
    often = (
        "rounds=6",
        "lifecycle.slow_every=1",
        "lifecycle.min_alive=1",
        "lifecycle.min_age=0",
        "lifecycle.gentle=0.1",
    )
    usual, sparing = (
        open_run(launched(tmp_path / weight, f"lifecycle.efficiency={weight}", *often)).decisions()
        for weight in ("0", "0.9")
    )
    first = [frame[frame["kind"] == "death"].iloc[0] for frame in (usual, sparing)]
    assert first[0]["round"] == first[1]["round"]
    assert first[0]["z"] != first[1]["z"]
    assert decisions(tmp_path / "0.9")[2] is None


def test_a_contrastive_loss_trains_other_networks_and_counts_its_passes(tmp_path):
    usual, both = (
        open_run(
            launched(tmp_path / weight, f"training.loss.contrastive={weight}", "rounds=1", "births=none")
        )
        for weight in ("0", "0.5")
    )
    assert digests(usual.directory.path) != digests(both.directory.path)
    assert (both.census()["loss"] > usual.census()["loss"]).all()
    assert both.rounds()["flops_training"].iloc[-1] == pytest.approx(
        2 * usual.rounds()["flops_training"].iloc[-1], rel=0.2
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [("class", "continuous", False), ("token", "discrete", True)])
def test_the_training_loss_is_the_weighted_sum_of_its_terms_in_float64(family, kind):
    world = world_of(kind, 2, family, loss={"task": 0.5, "contrastive": 2.0, "temperature": 0.3})
    individual, (index,) = individual_of(world, (0, 2, 5)), rows(1, batch=8)
    found = training_loss(world, individual.organism, index)
    inputs, targets = world.train.inputs[index], world.train.targets[index]
    definition, heads = DEFINED[family].definition, parts(individual.organism)
    task = definition.training_losses(individual.organism, heads, inputs, targets).mean()
    streams = torch.stack([definition.passing(individual.organism, heads, one).after[-1] for one in inputs])
    classes = targets if kind[0] == "class" else None
    like = contrastive(*views(rms_norm(streams), classes), 0.3)
    assert found.item() == pytest.approx((0.5 * task + 2.0 * like).item(), rel=1e-4)


def test_alone_the_usual_loss_is_that_of_the_task_bit_for_bit():
    world = world_of()
    individual, (index,) = individual_of(world), rows(1)
    inputs, targets = world.train.inputs[index], world.train.targets[index]
    wanted = example_losses(world.task, individual.organism(inputs), targets).mean()
    assert torch.equal(training_loss(world, individual.organism, index), wanted)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["objective.kind=asay"],
            "objective.kind: must be one of assay, alignment or information.*did you mean assay",
        ),
        (["lifecycle.efficiency=1.5"], "lifecycle.efficiency: must be"),
        (["lifecycle.efficiency=-1"], "lifecycle.efficiency: must be"),
        (["training.loss.contrastive=-1"], "training.loss.contrastive: must be"),
        (["training.loss.temperature=0"], "training.loss.temperature: must be"),
        (["training.loss.constrastive=1"], "did you mean training.loss.contrastive"),
        (["training.loss.task=0"], "training.loss.task: and all other weights of training.loss are 0"),
        (
            ["training.loss.contrastive=1", "training.batch=1"],
            "training.batch: must be at least 2 for training.loss",
        ),
    ],
)
def test_weights_and_kinds_that_cannot_be_are_refused_in_one_sentence(overrides, message):
    with pytest.raises(ConfigError, match=message):
        prepare(small(*overrides))


def spread(organism, inputs, targets, gates):
    """A loss of a user's own: the mean square of the outputs."""
    return organism(inputs, gates).square().mean()


def of_each(organism, inputs, targets, gates):
    return organism(inputs, gates)[..., 0]


HERE = "tests.runs.test_objectives"


def test_a_loss_of_ones_own_is_a_term_of_the_sum_and_part_of_the_run(tmp_path):
    world = world_of(loss={"task": 0.5, "own": {f"{HERE}:spread": 3.0}})
    individual, (index,) = individual_of(world), rows(1)
    inputs, targets = world.train.inputs[index], world.train.targets[index]
    outputs = individual.organism(inputs)
    wanted = 0.5 * example_losses(world.task, outputs, targets).mean() + 3 * outputs.square().mean()
    torch.testing.assert_close(training_loss(world, individual.organism, index), wanted)
    override = f"training.loss.own={{{HERE}:spread: 0.5}}"
    assert ("training.loss.own", f"{HERE}:spread") in users_own(small(override))
    run = open_run(launched(tmp_path / "run", override, "rounds=1"))
    usual = open_run(launched(tmp_path / "usual", "rounds=1"))
    assert (run.census()["loss"] > usual.census()["loss"]).all()


def test_one_that_gives_more_than_a_number_is_refused_by_name():
    world = world_of(loss={"own": {f"{HERE}:of_each": 1.0}})
    with pytest.raises(RunError, match=rf"the loss {HERE}:of_each must give one number, .*; it gave \[5\]"):
        training_loss(world, individual_of(world).organism, rows(1)[0])


def test_one_that_is_nowhere_is_refused():
    with pytest.raises(ConfigError, match=f"training.loss.own is '{HERE}:spraed', .* did you mean spread"):
        prepare(small(f"training.loss.own={{{HERE}:spraed: 1}}"))
    with pytest.raises(ConfigError, match=r"training.loss.own: must have import paths"):
        small("training.loss.own={spread: 1}")
    with pytest.raises(ConfigError, match=r"training\.loss\.own\S*: must be at least 0"):
        small(f"training.loss.own={{{HERE}:spread: -1}}")


class Plain(Pseudopods):
    """A family that knows the assay alone."""

    family = "plain"
    worths = ()


class Misspelt(Pseudopods):
    """A family whose outputs are none of its arrays."""

    family = "misspelt"
    outputs = ("ov.W",)


class Word(Pseudopods):
    """A family whose outputs are a word."""

    family = "word"
    outputs = "ov.V"


def one_token(options, corpus):
    numbers = np.random.default_rng(0).normal(size=(20, 1, 3)).astype(np.float32)
    split = Split(numbers, numbers[:, 0])
    return Task("one token", "value", split, split, split, split, "continuous", 3, 3, np.zeros((1, 1)))


def test_what_a_family_or_a_task_cannot_give_is_said_before_anything_is_trained():
    with pytest.raises(
        ConfigError, match=rf"objective.kind: alignment .* the family {HERE}:Plain; it offers assay$"
    ):
        prepare(small(f"organism.kind={HERE}:Plain", "objective.kind=alignment"))
    for name in ("Misspelt", "Word"):
        with pytest.raises(
            ConfigError,
            match=rf"{name}': outputs must be a list of names of its arrays, of ov.U, ov.V, qk.U, qk.V, not",
        ):
            prepare(small(f"organism.kind={HERE}:{name}"))
    with pytest.raises(
        ConfigError, match=r"training.loss.contrastive compares .* task 'one token' have one token"
    ):
        prepare(small(f"task.name={HERE}:one_token", "training.loss.contrastive=1"))


def test_organisms_without_a_stream_have_no_contrastive_loss():
    world = world_of(loss={"contrastive": 1.0})
    closed = SimpleNamespace(training_losses=lambda inputs, targets, gates: inputs.sum((1, 2)))
    with pytest.raises(RunError, match="needs organisms with a method stream"):
        training_loss(world, closed, rows(1)[0])
