import pytest

from archive_store.errors import LockError
from runs.errors import ConfigError, Stopped
from runs.workers.tasks import InlineTasks, Outcome


def raising(error):
    raise error


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (ConfigError("a sentence"), 2, "a sentence"),
        (Stopped("stopped"), 3, "stopped"),
        (LockError("locked"), 1, "locked"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero (test_tasks.py, line 9)"),
        (SystemExit(7), 1, "SystemExit: 7 (test_tasks.py, line 9)"),
    ],
)
def test_what_a_task_raises_is_its_status_and_a_sentence(error, status, sentence):
    pool = InlineTasks()
    pool.submit("name", raising, error)
    assert pool.wait(1.0) == [Outcome("name", status, sentence)]


def test_an_interrupt_ends_more_than_the_task():
    pool = InlineTasks()
    pool.submit("name", raising, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pool.wait(1.0)


def test_one_task_at_a_time_is_done_when_it_is_waited_for():
    pool, done = InlineTasks(), []
    pool.submit("name", done.append, 1)
    assert (pool.free, pool.busy, done) == (0, ["name"], [])
    assert (pool.wait(1.0), done) == ([Outcome("name")], [1])
    assert (pool.free, pool.busy, pool.wait(1.0)) == (1, [], [])
