"""What a job's error means: a machine that has too little is no verdict on the job."""

import errno

import numpy as np
import pytest
import torch

from runs.errors import ConfigError, RunError
from runs.workers.jobs import Exhausted, Failed, Job, Lost
from runs.workers.pool import InlinePool, perform
from tests.fixtures.small_worlds import calibrated_spec, calibrated_world

JOB = Job("advance", 3, 1, ())


def raising(error):
    def job(world, *rest):
        raise error

    return job


def torch_runs_short():
    try:
        torch.empty(2**60, dtype=torch.int8)
    except RuntimeError as error:
        return error


def numpy_runs_short():
    try:
        np.empty(2**60, dtype=np.int8)
    except MemoryError as error:
        return error


SHORT = (
    MemoryError(),
    torch_runs_short(),
    numpy_runs_short(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    OSError(errno.ENOSPC, "No space left on device"),
)


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_too_little_memory_or_disk_is_no_verdict(error, monkeypatch):
    monkeypatch.setattr("runs.trainer.JOBS", {"advance": raising(error)})
    with pytest.raises(Exhausted, match=f"its worker had too little memory or disk: {type(error).__name__}"):
        perform(calibrated_world(), "advance", (), lambda: 0.0)
    (event,) = answered()
    assert isinstance(event, Lost)
    assert "too little memory or disk" in event.reason


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero (test_pool.py"),
        (OSError(errno.ENOENT, "No such file"), "FileNotFoundError: [Errno 2] No such file (test_pool.py"),
        (SystemExit(3), "SystemExit: 3 (test_pool.py"),
        (ConfigError("the measure gave shape (3,)"), "the measure gave shape (3,)"),
    ],
)
def test_anything_else_is_a_failure_in_one_sentence(error, told, monkeypatch):
    monkeypatch.setattr("runs.trainer.JOBS", {"advance": raising(error)})
    with pytest.raises(RunError) as caught:
        perform(calibrated_world(), "advance", (), lambda: 0.0)
    assert str(caught.value).startswith(told)
    (event,) = answered()
    assert (type(event), event.worker) == (Failed, "inline")


def answered():
    pool = InlinePool(lambda: 0.0)
    pool.configure(calibrated_spec())
    assert (pool.workers, pool.idle) == (("inline",), ("inline",))
    pool.submit(JOB, 1, "inline")
    assert pool.idle == ()
    return pool.wait(0.0)
