import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from archive_store.encoding import decode, encode
from organisms.memory import Trace
from organisms.pseudopods.species.family import Pseudopods
from organisms.task import Split
from runs.errors import ConfigError, RunError
from runs.training.births.newborns import bear, found
from runs.training.build import build, emptied, set_aside
from runs.training.state import Individual, decode_interface, decode_state, encode_interface, encode_state
from runs.training.world import WorldSpec
from tests.fixtures.small_worlds import (
    birth,
    calibrated_spec,
    calibrated_world,
    order,
    populate,
    small_config,
    small_interface,
    small_species,
    small_task,
    small_world,
)

CPU = torch.device("cpu")


def spec(**sections) -> WorldSpec:
    return WorldSpec(small_config(**sections).model_dump(mode="json", by_alias=True))


def lived(number=5) -> Individual:
    """An organism with a newborn, an empty slot, moments and a memory."""
    organism = found(calibrated_world(), number)
    bear(calibrated_world(), organism, order(number, 2, [birth(3, "random")]), {}, {})
    organism.pool.retire(1)
    for index, tensor in enumerate(organism.pool.tensors().values()):
        tensor += index / 7
    return Individual(number, organism, 2, 31, Trace(0.95, 1 / 3), 2 / 3, 0.25, 2)


class TestBuild:
    def test_splits_are_the_tasks(self):
        world = build(spec())
        aside = set_aside(world.config, 200).numpy()
        training = world.task.train
        splits = {name: getattr(world.task, name) for name in ("probe", "validation", "test")}
        splits["train"] = Split(training.inputs[~aside], training.targets[~aside])
        splits["trial"] = Split(training.inputs[aside], training.targets[aside])
        for name, split in splits.items():
            examples = getattr(world, name)
            assert len(examples) == len(split)
            np.testing.assert_array_equal(examples.inputs.numpy(), split.inputs)
            np.testing.assert_array_equal(examples.targets.numpy(), split.targets)
        assert (len(world.train), len(world.trial)) == (175, 25)
        assert (world.interface, world.hosts) == ({}, ())

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, ">i8", bool, np.float64])
    def test_arrays_that_cannot_be_written_or_are_of_other_dtypes_are_learned_from(self, dtype, monkeypatch):
        def odd(split):
            inputs, targets = split.inputs.astype(np.float16), (split.targets > 0).astype(dtype)
            inputs.setflags(write=False)
            targets.setflags(write=False)
            return Split(inputs, targets)

        task = small_task()
        given = {name: odd(getattr(task, name)) for name in ("train", "probe", "validation", "test")}
        mine = SimpleNamespace(task=lambda options, corpus: replace(task, **given))
        monkeypatch.setitem(sys.modules, "mine", mine)
        world = build(spec(task={"name": "mine:task", "examples": None}))
        assert (world.train.inputs.dtype, world.train.targets.dtype) == (torch.float32, torch.int64)
        assert world.probe.targets.tolist() == (task.probe.targets > 0).tolist()
        world.train.inputs.zero_()
        assert given["train"].inputs.any()

    def test_discrete_tokens_become_indices(self):
        corpus = ("A slime mold is no mold. " * 2000).encode()
        world = build(replace(spec(task={"name": "text", "length": 8}), corpus=corpus))
        assert world.train.inputs.dtype == world.train.targets.dtype == torch.int64
        np.testing.assert_array_equal(world.probe.inputs.numpy(), world.task.probe.inputs)

    def test_interface_and_hosts_are_what_they_were_made_of(self):
        world, made = calibrated_world(), calibrated_spec()
        assert encode_interface(world.interface) == made.interface
        assert len(world.hosts) == 3

    def test_a_host_keeps_a_share_of_its_components_to_leave_room_for_a_graft(self):
        world, made = calibrated_world(), calibrated_spec()
        for host, state in zip(world.hosts, made.hosts, strict=True):
            whole = decode_state(world, state).organism
            assert [slot for slot, _ in whole.pool.alive()] == [0, 1, 2]
            assert [slot for slot, _ in host.organism.pool.alive()] == [0]  # a quarter of three, but one
            assert torch.equal(host.organism.pool.stacks["ov.U"][0], whole.pool.stacks["ov.U"][0])

    def test_a_family_of_ones_own_comes_by_import_path(self, monkeypatch):
        class Nearsighted(Pseudopods):
            family = "nearsighted"

        monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Nearsighted=Nearsighted, nothing=print))
        assert build(spec(organism={"kind": "mine:Nearsighted"})).species.family == "nearsighted"
        with pytest.raises(ConfigError, match=r"'mine:nothing' is no family: it has no family, options;"):
            build(spec(organism={"kind": "mine:nothing"}))

    def test_a_task_that_gives_other_data_each_time_is_refused(self):
        with pytest.raises(
            RunError, match=r"the task 'digits' gives other data each time \(digest 0{12}, then"
        ):
            build(replace(spec(), data="0" * 64))

    def test_a_family_that_is_not_there_is_named(self):
        with pytest.raises(
            ConfigError, match=r"organism.kind is 'nowhere.mine:Towers', but there is no module"
        ):
            build(spec(organism={"kind": "nowhere.mine:Towers"}))


class TestEmptied:
    @pytest.mark.parametrize(
        ("kept", "expected"),
        [(0.25, [2, 5, 10, 11]), (0.5, [5, 11]), (0.34, [5, 11]), (1.0, []), (0.01, [2, 5, 10, 11])],
    )
    def test_the_first_share_of_each_layer_is_kept_and_at_least_one(self, kept, expected):
        family = small_species(small_task(), depth=2, capacity=7)
        organism = family.organism(small_interface(family.task))
        populate(family, organism, (1, 2, 5, 8, 10, 11))
        assert list(emptied(organism, kept)) == expected

    def test_an_empty_layer_has_nothing_to_empty(self):
        family = small_species(small_task(), depth=2, capacity=4)
        organism = family.organism(small_interface(family.task))
        populate(family, organism, (5, 6))
        assert list(emptied(organism, 0.5)) == [6]


class TestStates:
    def test_a_state_comes_back_bit_for_bit(self):
        before = lived()
        data = encode_state(before)
        after = decode_state(calibrated_world(), data)
        assert encode_state(after) == data
        assert (after.number, after.round, after.step, after.first_loss) == (5, 2, 31, 2 / 3)
        assert (after.trace.recall(), after.trace.decay) == (1 / 3, 0.95)
        assert (after.rate_factor, after.quarantines) == (0.25, 2)
        assert after.organism.pool.occupants == before.organism.pool.occupants
        for name, tensor in before.organism.pool.tensors().items():
            assert after.organism.pool.tensors()[name].numpy().tobytes() == tensor.numpy().tobytes()

    def test_before_the_first_step_there_is_no_loss_to_remember(self):
        individual = replace_individual(lived(), trace=Trace(0.95), first_loss=None)
        after = decode_state(calibrated_world(), encode_state(individual))
        assert after.trace.recall() is None
        assert after.first_loss is None

    @pytest.mark.parametrize(
        "change",
        [
            *({"round": 3}, {"step": 32}, {"number": 6}, {"first_loss": 0.5}, {"trace": Trace(0.95, 0.5)}),
            *({"rate_factor": 0.5}, {"quarantines": 0}),
        ],
    )
    def test_everything_that_the_next_round_depends_on_is_in_it(self, change):
        assert encode_state(replace_individual(lived(), **change)) != encode_state(lived())

    def test_every_tensor_is_in_it(self):
        for name in lived().organism.pool.tensors():
            changed = lived()
            changed.organism.pool.tensors()[name].view(-1)[-1] += 1
            assert encode_state(changed) != encode_state(lived())
        assert set(decode(encode_state(lived()))[0]) == set(lived().organism.pool.tensors())

    def test_decoded_memory_is_the_organisms_own(self):
        data = encode_state(lived())
        first, second = (decode_state(calibrated_world(), data) for _ in range(2))
        first.organism.pool.retire(0)
        assert encode_state(second) == data
        assert first.organism.interface is not calibrated_world().interface

    def test_a_state_of_another_shape_is_refused(self):
        other = small_world(small_config(organism={"capacity": 5}), interface=calibrated_spec().interface)
        with pytest.raises(
            RunError,
            match=r"a state cannot be read .*'counts' must be \(5,\); found \(4,\)\); it is of another",
        ):
            decode_state(other, encode_state(lived()))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"round": None}, "TypeError"),
            ({"round": 2.0}, "TypeError"),
            ({"occupants": None}, "TypeError"),
            ({"occupants": [None] * 3}, "needs as many occupants; found 3"),
            ({"occupants": [{"component": [1, 0, 0]}, None, None, None]}, "KeyError: 'parents'"),
            ({"loss_ema": "much"}, "KeyError: 'much'"),
            ({"more": 1}, "it holds names or values that are not written here"),
            ({"first_loss": 1}, "it holds names or values that are not written here"),
        ],
    )
    def test_metadata_of_another_form_is_refused(self, change, message):
        arrays, meta = decode(encode_state(lived()))
        with pytest.raises(RunError, match=rf"a state cannot be read \(.*{message}"):
            decode_state(calibrated_world(), encode(arrays, meta | change))

    def test_what_lacks_metadata_is_refused(self):
        arrays, meta = decode(encode_state(lived()))
        for lacking in (None, [], {name: meta[name] for name in meta if name != "step"}):
            with pytest.raises(RunError, match="a state cannot be read"):
                decode_state(calibrated_world(), encode(arrays, lacking))


def replace_individual(individual, **changes):
    for name, value in changes.items():
        setattr(individual, name, value)
    return individual


def test_an_interface_comes_back_bit_for_bit():
    interface = small_interface(small_task())
    found_ = decode_interface(encode_interface(interface), CPU)
    assert set(found_) == set(interface)
    assert all(torch.equal(tensor, interface[name]) for name, tensor in found_.items())


@pytest.mark.parametrize(
    "change",
    [{"more": torch.zeros(1)}, {"bias": torch.zeros(3)}, {"bias": torch.zeros(10, dtype=torch.float64)}],
)
def test_an_interface_of_another_task_is_refused(change):
    interface = dict(calibrated_world().interface) | change
    with pytest.raises(
        RunError, match=r"the interface cannot be read .*an interface of this task is .* found "
    ):
        build(replace(spec(), interface=encode_interface(interface)))
