"""Several processes, real ones: they train as one does, and end together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from runs.errors import ConfigError, RunError, Stopped
from runs.models.checkpoints import MODEL, tensors
from runs.models.fit import fit
from runs.models.fit.log import read
from runs.models.fit.processes import _answer
from runs.models.fit.step.world import World
from tests.fixtures.small_trainings import EXPERTS, folder_of, small, what_came

ROOT = Path(__file__).parents[4]
BIASED = {
    **EXPERTS,
    "block": {
        **EXPERTS["block"],
        "moe": {**EXPERTS["block"]["moe"], "router": {"n_experts": 4, "router_type": "bias"}},
    },
}


class StopAfter:
    def __init__(self, step):
        self.step = step

    def __call__(self, progress):
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def silently(text):
    pass


@pytest.mark.long
@pytest.mark.parametrize("kind", ["experts", "towers", "flow", "pseudopods"])
def test_two_processes_train_as_one_does_with_twice_the_batch(kind, tmp_path):
    """The micro-batches are those of one process that accumulates two; a load-balancing loss is of each.

    The last step of an epoch has one example, so that the second process has none.
    """
    changes = {"model__kind": kind, "model__experts": BIASED, "optim__ema_decay": 0.9, "data__examples": 49}
    alone = small(tmp_path / "alone", **changes, data__batch_size=8, optim__grad_accum_steps=2)
    together = small(tmp_path / "together", **changes, data__batch_size=8)
    fit(alone)
    fit(together, nproc=2)
    logs = [read(folder_of(config).log) for config in (alone, together)]
    for one, other in zip(*logs, strict=True):
        for key in ("loss", "gradient_norm", "expert_utilization", "validation"):
            assert _flat(other.get(key)) == pytest.approx(_flat(one.get(key)), rel=1e-4, abs=1e-6)
    one, other = (tensors(folder_of(config).at(6) / MODEL) for config in (alone, together))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5


def _flat(value):
    if isinstance(value, dict):
        return [each for key in sorted(value) for each in _flat(value[key])]
    if isinstance(value, list):
        return [each for item in value for each in _flat(item)]
    return [0.0 if value is None else value]


@pytest.mark.long
def test_all_processes_stop_together_and_go_on_to_the_same_bits(tmp_path):
    whole, parts = (
        small(tmp_path / each, sched__total_steps=300, eval__every=150) for each in ("whole", "parts")
    )
    fit(whole, nproc=2)
    with pytest.raises(Stopped, match=r"stopped after step .* of 300, as asked"):
        fit(parts, nproc=2, report=StopAfter(2), tell=silently)
    assert folder_of(parts).status()["state"] == "stopped"
    fit(parts, nproc=2, resume=True)
    assert what_came(parts) == what_came(whole)


@pytest.mark.long
def test_a_process_that_fails_is_spoken_for_in_one_sentence(tmp_path):
    config = small(tmp_path, model__kind="tests.fixtures.own_models:failing")
    with pytest.raises(
        RunError, match=r"in step 1 the model tests.fixtures.own_models:failing raised KeyError"
    ):
        fit(config, nproc=2)
    diverging = small(tmp_path, run_name="diverging", model__kind="tests.fixtures.own_models:exploding")
    with pytest.raises(RunError, match="the training diverged: the loss of step 4 is inf"):
        fit(diverging, nproc=2)


class KillAfter(StopAfter):
    """Kills the process that reports, a child of this one."""

    def __call__(self, progress):
        if progress.step == self.step:
            (*_, child) = sorted(_children(os.getpid()))
            os.kill(child, signal.SIGKILL)


def _children(parent):
    """Processes that train, by their parent, as Linux lists them."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            words = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="processes are found by /proc")
def test_a_process_that_is_killed_is_named(tmp_path):
    config = small(tmp_path, sched__total_steps=100_000)
    with pytest.raises(
        RunError, match=r"process 1 of 2 was killed by SIGKILL; go on from the newest checkpoint with"
    ):
        fit(config, nproc=2, report=KillAfter(3))
    assert _children(os.getpid()) == []


@pytest.mark.long
def test_a_training_that_is_killed_goes_on_from_its_newest_checkpoint(tmp_path):
    """A real process, killed between two checkpoints, whose log is longer than the newest of them."""
    whole = small(tmp_path / "whole", sched__total_steps=40, eval__every=10)
    killed = small(tmp_path / "killed", sched__total_steps=40, eval__every=10)
    code = (
        "import sys, os, signal\n"
        "from runs.machine.settings import prepare; prepare()\n"
        "from runs.models.config import TrainConfig\n"
        "from runs.models.fit import fit\n"
        "def report(progress):\n"
        "    if progress.step == 27: os.kill(os.getpid(), signal.SIGKILL)\n"
        "fit(TrainConfig.model_validate_json(sys.argv[1]), report=report)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, killed.model_dump_json()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    folder = folder_of(killed)
    assert ([each.step for each in folder.saved()][-1], read(folder.log)[-1]["step"]) == (20, 27)
    assert folder.status()["state"] == "running"
    fit(killed, resume=True)
    fit(whole)
    assert what_came(killed) == what_came(whole)


def test_more_processes_than_devices_are_refused(tmp_path):
    there = torch.cuda.device_count()
    with pytest.raises(
        ConfigError, match=rf"device is cuda for {there + 1} process.*, but torch sees {there} "
    ):
        fit(small(tmp_path, device="cuda"), nproc=there + 1)
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_says_comes_before_how_the_others_end(tmp_path):
    """As they leave it: an answer each, or an exit code alone."""
    (tmp_path / "0.json").write_text(json.dumps({"reason": "all 6 steps are done"}))
    (tmp_path / "1.json").write_text(json.dumps({"reason": ""}))
    assert _answer([0, -signal.SIGTERM], tmp_path, is_asked=True) == "all 6 steps are done"
    (tmp_path / "1.json").unlink()
    with pytest.raises(
        RunError, match=r"process 1 of 3 was killed by SIGKILL; go on from the newest checkpoint"
    ):
        _answer([None, -signal.SIGKILL, 1], tmp_path, is_asked=False)
    with pytest.raises(KeyboardInterrupt):
        _answer([None, -signal.SIGTERM, None], tmp_path, is_asked=True)
    (tmp_path / "1.json").write_text(json.dumps({"error": "Stopped", "text": "stopped after step 3"}))
    with pytest.raises(Stopped, match="stopped after step 3"):
        _answer([None, 1, None], tmp_path, is_asked=True)


def test_sums_over_one_process_are_its_own():
    values = {"a": torch.tensor(2), "b": torch.ones(3)}
    found = World().sum(values)
    assert (found["a"] is values["a"], found["b"] is values["b"], World().is_first) == (True, True, True)
