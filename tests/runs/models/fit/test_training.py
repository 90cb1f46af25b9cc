"""A training as a whole: what it leaves behind, and that it comes to the same whatever interrupts it."""

import errno
import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_store import durable
from archive_store.errors import LockError
from archive_store.lock import held
from archive_store.strict_yaml import read as read_yaml
from runs import tasks
from runs.errors import ConfigError, RunError, Stopped
from runs.models import checkpoints
from runs.models.checkpoints import METRICS, open_checkpoint
from runs.models.config import TrainConfig
from runs.models.evaluation import examples, measured, outputs
from runs.models.fit import fit
from runs.models.fit.log import Log, read
from tests.fixtures.small_trainings import folder_of, small, what_came

EVERYTHING = {
    "optim__ema_decay": 0.9,
    "optim__amp_dtype": "bf16",
    "model__experts__block__dropout": 0.2,
    "model__experts__block__moe__router": {
        "n_experts": 4,
        "router_type": "bias",
        "noise_type": "gumbel",
        "capacity": "order_agnostic",
    },
    "sched__temperature": {"start": 2.0, "end": 1.0, "steps": 5},
    "sched__noise_std": {"start": 0.5, "end": 0.1, "steps": 5},
    "sched__capacity_factor": {"start": 2.0, "end": 1.25, "steps": 5},
    "eval__patience": 50,
}
CASES = {
    "experts": EVERYTHING,
    "pseudopods": {
        "model__kind": "pseudopods",
        "model__pseudopods__dropout": 0.3,
        "optim__amp_dtype": "fp16",
    },
    "flow": {"model__kind": "flow", "model__flow__memory_size": 4},
    "own": {"model__kind": "tests.fixtures.own_models:own"},
}


class StopAfter:
    """Reports to nobody, and sends the process a signal after a step."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def __call__(self, progress):
        if progress.step == self.step:
            os.kill(os.getpid(), self.number)


def silently(text):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = small(tmp_path_factory.mktemp("finished"))
    return config, fit(config)


def test_a_training_leaves_its_configuration_log_status_and_checkpoints(finished):
    config, fitted = finished
    folder = fitted.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "log.jsonl",
        "status.json",
    ]
    assert TrainConfig.model_validate(read_yaml((folder / "config.yaml").read_bytes(), "").value) == config
    assert [record["step"] for record in read(folder / "log.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert folder_of(config).status() == {
        "state": "finished",
        "step": 6,
        "reason": "all 6 steps are done",
        "best": fitted.best.name,
        "loss": fitted.loss,
    }


def test_a_line_of_the_log_has_all_that_is_drawn(finished):
    record = read(finished[1].folder / "log.jsonl")[-1]
    assert set(record) == {
        *("step", "epoch", "loss", "losses", "learning_rates", "gradient_norm", "routing", "validation"),
        *("expert_utilization", "fraction_dropped_tokens", "fraction_dropped_choices", "gate_entropy"),
        *("seconds", "examples_per_second", "tokens_per_second"),
    }
    assert (record["epoch"], set(record["learning_rates"])) == (1.5, {"main", "router", "expert"})
    assert set(record["validation"]) >= {"loss", "score", "sine_mse", "spiral_mse"}


def test_the_best_checkpoint_is_as_good_as_it_says(finished):
    config, fitted = finished
    checkpoint = open_checkpoint(fitted.best)
    task = tasks.load(config.data)
    found = measured(
        task, task.validation, outputs(checkpoint.model(), examples(checkpoint.signature, task.validation)[0])
    )
    assert (found["loss"], found["score"]) == (fitted.loss, fitted.score)
    assert {name: checkpoint.metrics[name] for name in found} == found
    assert (fitted.score_name, fitted.baseline_name) == ("R2", "last value")


def test_one_with_an_average_and_schedules_is_as_good_as_it_says_too(tmp_path):
    """The temperature of its step, in which it was evaluated, is kept with it."""
    config = small(tmp_path, **EVERYTHING)
    fitted = fit(config)
    checkpoint, task = open_checkpoint(fitted.best), tasks.load(config.data)
    inputs, _ = examples(checkpoint.signature, task.validation)
    assert measured(task, task.validation, outputs(checkpoint.model(), inputs))["loss"] == fitted.loss
    assert checkpoint.choice.experts.block.moe.router.temperature < 2.0
    assert checkpoint.metrics["is_average"] is True


@pytest.mark.parametrize("case", CASES)
def test_stopped_at_any_step_it_comes_to_the_same_bits(case, tmp_path):
    whole, parts = (
        small(tmp_path / each, sched__total_steps=8, **CASES[case]) for each in ("whole", "parts")
    )
    fit(whole)
    for step, last in ((1, 2), (4, 5), (6, 7)):  # the first of which is evaluated in any case
        with pytest.raises(
            Stopped, match=rf"stopped after step {last} of 8, as asked; go on with: plasmodia fit "
        ):
            fit(parts, resume=step > 1, report=StopAfter(step), tell=silently)
    fit(parts, resume=True)
    assert what_came(parts) == what_came(whole)


class Killed(BaseException):
    """The process is gone: nothing is written any more."""


class Fate:
    """Reports to nobody; after some steps a signal comes, or the process is gone."""

    def __init__(self, step, is_killed):
        self.step, self.is_killed = step, is_killed

    def __call__(self, progress):
        if progress.step == self.step:
            if self.is_killed:
                raise Killed
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.long
@settings(max_examples=8)
@given(
    fates=st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4),
    every=st.integers(1, 4),
)
def test_stopped_or_killed_at_random_steps_it_comes_to_the_same_bits(tmp_path_factory, fates, every):
    """`test_stopped_at_any_step_it_comes_to_the_same_bits` is the short one."""
    place = tmp_path_factory.mktemp("random")
    whole, parts = (
        small(place / each, sched__total_steps=9, eval__every=every, **EVERYTHING)
        for each in ("whole", "parts")
    )
    fit(whole)
    for step, is_killed in fates:
        with suppress(Stopped, Killed):  # a step that is done already does not come again
            fit(parts, resume=folder_of(parts).path.exists(), report=Fate(step, is_killed), tell=silently)
    fit(parts, resume=True)
    assert what_came(parts) == what_came(whole)


def test_a_full_disk_is_told_in_the_words_of_a_training_which_then_goes_on(tmp_path, monkeypatch):
    whole, parts = (small(tmp_path / each) for each in ("whole", "parts"))
    fit(whole)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def filling(progress):
        if progress.step == 3:
            monkeypatch.setattr(durable.os, "write", full)

    told = (
        r"small.* cannot be written: No space left on device; when there is room again, the training goes on with: "
        r"plasmodia fit .*small --resume$"
    )
    with pytest.raises(RunError, match=told):
        fit(parts, report=filling)
    monkeypatch.undo()
    assert [each.step for each in folder_of(parts).saved()] == [2]
    fit(parts, resume=True)
    assert what_came(parts) == what_came(whole)


def test_a_batch_of_more_examples_than_there_are_is_told(tmp_path):
    told = []
    fit(
        small(tmp_path, data__batch_size=40, optim__grad_accum_steps=2, sched__total_steps=3),
        report=lambda progress: told.append(progress.message),
    )
    assert "".join(told) == (
        "data.batch_size 40 times 2 micro-batches is more than the 50 examples to train on: each step takes all of them"
    )
    fit(
        small(tmp_path / "fits", data__batch_size=50, sched__total_steps=3),
        report=lambda p: told.append(p.message),
    )
    assert not any(told[-3:])


def test_a_stop_before_the_last_step_leaves_a_checkpoint_that_was_not_evaluated(tmp_path):
    config, told = small(tmp_path, eval__every=100), []
    with pytest.raises(Stopped):
        fit(config, report=StopAfter(2, signal.SIGTERM), tell=told.append)
    assert told == ["stopping after the step under way; once more to stop now"]
    folder = folder_of(config)
    (saved,) = folder.saved()
    assert (saved.step, saved.loss) == (3, None)
    assert folder.status() == {
        "state": "stopped",
        "step": 3,
        "reason": "asked to stop",
        "best": None,
        "loss": None,
    }
    fit(config, resume=True)
    assert [each.step for each in folder.saved()] == [6]


def test_a_log_that_is_longer_than_the_checkpoint_is_cut(tmp_path):
    """As a process leaves it that was killed after a checkpoint and some steps more."""
    config, again = small(tmp_path / "whole"), small(tmp_path / "again")
    fit(config)
    with pytest.raises(Stopped):
        fit(again, report=StopAfter(3), tell=silently)
    folder = folder_of(again)
    with folder.log.open("ab") as file:
        file.write(b'{"step":5,"loss":1.0}\n{"step":6,"lo')
    for name in ("step-00000001.removed.partial", "step-00000005.partial", "step-00000006.partial"):
        (folder.path / "checkpoints" / name).mkdir()
    fit(again, resume=True)
    assert what_came(again) == what_came(config)
    assert not list((folder.path / "checkpoints").glob("*.partial"))


def test_the_log_is_durable_before_a_checkpoint_relies_on_it(tmp_path, monkeypatch):
    done = []

    def noted(name, call):
        def noting(*arguments, **given):
            done.append(name)
            return call(*arguments, **given)

        return noting

    monkeypatch.setattr(Log, "write", noted("write", Log.write))
    monkeypatch.setattr(Log, "sync", noted("sync", Log.sync))
    monkeypatch.setattr(checkpoints, "save", noted("save", checkpoints.save))
    fit(small(tmp_path))
    assert done == ["write", "write", "sync", "save"] * 3


def test_training_stops_early_where_nothing_gets_better(tmp_path):
    config = small(tmp_path, optim__lr_main=1e-12, optim__lr_router=1e-12, optim__lr_expert=1e-12,
                   eval__every=1, eval__patience=2, sched__total_steps=50)  # fmt: skip
    fitted = fit(config)
    status = folder_of(config).status()
    assert status["step"] < 50
    assert fitted.reason == "no better validation loss in 2 evaluations"
    assert fitted.step == status["step"] - 2


def test_the_best_and_the_newest_checkpoints_are_kept(tmp_path):
    config = small(tmp_path, eval__every=1, eval__keep_best=2, eval__keep_newest=3, sched__total_steps=7)
    fit(config)
    log = read(folder_of(config).log)
    losses = {record["step"]: record["validation"]["loss"] for record in log}
    best = sorted(losses, key=lambda step: (losses[step], step))[:2]
    assert {each.step for each in folder_of(config).saved()} == {*best, 5, 6, 7}


def test_a_finished_training_is_not_trained_any_further(finished, tmp_path):
    shutil.copytree(finished[0].out_dir, tmp_path / "out")
    config = small(tmp_path / "out")
    before = what_came(config)
    again = fit(config, resume=True)
    assert (again.loss, again.best.name) == (finished[1].loss, finished[1].best.name)
    assert what_came(config) == before


def test_a_folder_that_is_there_is_not_overwritten(finished):
    with pytest.raises(ConfigError, match=r"exists already; go on with: plasmodia fit .*small --resume, or"):
        fit(finished[0])


def test_there_must_be_something_to_go_on_with(tmp_path):
    with pytest.raises(
        ConfigError, match=r"there is no training at .*small to go on with; leave out --resume"
    ):
        fit(small(tmp_path), resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("make", "told"), [(Path.mkdir, "holds no training"), (Path.touch, "is no folder")])
def test_what_is_no_training_is_left_alone(make, told, tmp_path):
    make(tmp_path / "small")
    with pytest.raises(
        ConfigError, match=f"small exists already and {told}; choose another run_name or out_dir"
    ):
        fit(small(tmp_path), resume=True)


def test_it_goes_on_with_its_own_configuration_alone(finished):
    config = small(finished[0].out_dir, optim__lr_main=0.5, sched__total_steps=9)
    with pytest.raises(
        ConfigError, match=r"another configuration: optim.lr_main is 0.5, not 0.01; sched.total_steps"
    ):
        fit(config, resume=True)


def test_processes_must_be_as_many_as_before(tmp_path):
    config = small(tmp_path)
    with pytest.raises(Stopped):
        fit(config, report=StopAfter(2), tell=silently)
    path = folder_of(config).saved()[-1].path / METRICS
    changed = path.read_text().replace('"processes":1', '"processes":2')
    _rewritten(path, changed)
    with pytest.raises(RunError, match=r"was trained by 2 processes, .* go on with --nproc 2"):
        fit(config, resume=True)


def test_other_data_are_noticed(tmp_path):
    config = small(tmp_path)
    with pytest.raises(Stopped):
        fit(config, report=StopAfter(2), tell=silently)
    path = folder_of(config).saved()[-1].path / METRICS
    metrics = json.loads(path.read_text())
    _rewritten(path, json.dumps({**metrics, "task_digest": "0" * 64}))
    with pytest.raises(RunError, match=r"the data of 'signals' are others than those that .* was trained on"):
        fit(config, resume=True)


def test_a_damaged_checkpoint_is_named_with_the_way_out(tmp_path):
    config = small(tmp_path)
    with pytest.raises(Stopped):
        fit(config, report=StopAfter(4), tell=silently)
    newest = folder_of(config).saved()[-1].path
    (newest / "training.safetensors").unlink()
    with pytest.raises(
        RunError, match=r"training.safetensors is missing or damaged; .* remove .*step-00000005, to"
    ):
        fit(config, resume=True)
    shutil.rmtree(newest)
    fit(config, resume=True)
    fit(small(tmp_path / "whole"))
    assert what_came(config) == what_came(small(tmp_path / "whole"))


def test_another_environment_is_told(tmp_path):
    config, told = small(tmp_path), []
    with pytest.raises(Stopped):
        fit(config, report=StopAfter(2), tell=silently)
    path = folder_of(config).saved()[-1].path / "fingerprint.json"
    _rewritten(path, json.dumps({**json.loads(path.read_text()), "python": "CPython 2.7"}))
    fit(config, resume=True, report=lambda progress: told.append(progress.message))
    assert [text for text in told if "other roundings: python: CPython 2.7 against CPython 3" in text]


def test_a_training_that_diverges_keeps_its_last_good_checkpoint(tmp_path):
    config = small(tmp_path, model__kind="tests.fixtures.own_models:exploding")
    with pytest.raises(
        RunError, match=r"diverged: the loss of step 4 is inf; .* the last good checkpoint is .*000002"
    ):
        fit(config)
    assert folder_of(config).status()["state"] == "diverged"
    assert [each.step for each in folder_of(config).saved()] == [2]


def test_weights_beyond_all_bounds_are_a_divergence_too(tmp_path):
    config = small(tmp_path, optim={"lr_main": 1e9, "max_grad_norm": None}, sched__warmup_steps=0)
    with pytest.raises(RunError, match=r"the training diverged: .*; there is no checkpoint yet"):
        fit(config)


def test_a_model_that_fails_is_told_in_the_status(tmp_path):
    config = small(tmp_path, model__kind="tests.fixtures.own_models:failing")
    with pytest.raises(RunError, match="raised KeyError"):
        fit(config)
    assert "KeyError" in folder_of(config).status()["reason"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_module", "must return a torch.nn.Module, not a int"),
        ("unbuildable", r"failed: KeyError: 'width' \(own_models.py, line"),
        ("nowhere", "has no 'nowhere'"),
    ],
)
def test_a_builder_that_does_not_do_leaves_nothing(name, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        fit(small(tmp_path, model__kind=f"tests.fixtures.own_models:{name}"))
    assert list(tmp_path.iterdir()) == []


def test_rules_are_checked_and_nothing_is_written(tmp_path):
    config = small(tmp_path, sched__noise_std={"start": 1.0, "end": 0.0, "steps": 3})
    with pytest.raises(
        ConfigError, match=r"sched.noise_std: changes nothing while model.experts.block.moe.rout"
    ):
        fit(config)
    with pytest.raises(ConfigError, match="--nproc must be at least 1, not 0"):
        fit(small(tmp_path), nproc=0)
    with pytest.raises(
        ConfigError, match=r"data.kinds is .*, but all examples of the task 'digits' are of one kind"
    ):
        fit(small(tmp_path, data__name="digits"))
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_write_one_training(tmp_path):
    config = small(tmp_path)
    with pytest.raises(Stopped):
        fit(config, report=StopAfter(2), tell=silently)
    with held(folder_of(config).path), pytest.raises(LockError, match="is being written by process"):
        fit(config, resume=True)


def _rewritten(path, text):
    """Change a file of a checkpoint, and its digest with it."""
    import hashlib

    digests = path.with_name("digests.json")
    before = json.loads(digests.read_text())
    path.write_text(text)
    digests.write_text(json.dumps({**before, path.name: hashlib.sha256(text.encode()).hexdigest()}))
