from collections import deque

import pytest

from runs.dispatch import Dispatcher
from runs.errors import RunError
from runs.pools import Done, Failed, Job, Lost


def job(organism=0, round=1):
    return Job("advance", round, organism, ())


def done(job, attempt=1, report="same", worker="w"):
    return Done(job, attempt, report, b"", {}, worker)


class FakePool:
    """Workers that answer in the order of submission, unless a script says what happens instead."""

    def __init__(self, workers=1, script=()):
        self.idle = workers
        self.sent = []
        self._script = deque(script)  # functions of (job, attempt) that give the events of one wait
        self._under_way = deque()

    def submit(self, job, attempt):
        assert self.idle > 0, "a job was sent to a busy pool"
        self.idle -= 1
        self.sent.append((job, attempt))
        self._under_way.append((job, attempt))

    def wait(self):
        job, attempt = self._under_way.popleft()
        self.idle += 1
        return self._script.popleft()(job, attempt) if self._script else [done(job, attempt)]


def lost(job, attempt):
    return [Lost(job, attempt, "its worker died")]


def dispatcher(pool, attempts=3):
    incidents = []
    made = Dispatcher(pool, attempts, lambda *what: incidents.append(what), lambda answer: answer.report)
    return made, incidents


def test_lower_priorities_go_first_and_equal_ones_in_the_order_of_submission():
    pool = FakePool()
    sender, _ = dispatcher(pool)
    for organism, priority in enumerate([(2, 0), (1, -5), (1, -9), (1, -5)]):
        sender.submit(job(organism), priority)
    answered = [sender.next().job.organism for _ in range(4)]
    assert answered == [2, 1, 3, 0]
    assert [sent.organism for sent, _ in pool.sent] == answered


def test_all_idle_workers_are_kept_busy():
    pool = FakePool(workers=3)
    sender, _ = dispatcher(pool)
    for organism in range(5):
        sender.submit(job(organism), (organism,))
    sender.next()
    assert [sent.organism for sent, _ in pool.sent] == [0, 1, 2]
    sender.next()
    assert [sent.organism for sent, _ in pool.sent] == [0, 1, 2, 3]


def test_a_lost_job_is_sent_again_before_later_ones_and_its_attempts_are_numbered():
    pool = FakePool(script=[lost, lost])
    sender, incidents = dispatcher(pool)
    sender.submit(job(0), (0,))
    sender.submit(job(1), (1,))
    answer = sender.next()
    assert (answer.job, answer.attempt) == (job(0), 3)
    assert pool.sent == [(job(0), 1), (job(0), 2), (job(0), 3)]
    assert incidents == [("lost", job(0), "its worker died")] * 2
    assert sender.next().job == job(1)


def test_a_job_that_is_lost_too_often_stops_the_run():
    pool = FakePool(script=[lost] * 3)
    sender, incidents = dispatcher(pool, attempts=2)
    sender.submit(job(4, round=7), (0,))
    message = "advance of organism 4, round 7, was lost 2 times, .* its worker died; the run can be resumed"
    with pytest.raises(RunError, match=message):
        sender.next()
    assert len(pool.sent) == len(incidents) == 2


def test_a_job_that_raised_is_not_sent_again():
    pool = FakePool(script=[lambda job, attempt: [Failed(job, attempt, "the loss became nan")]])
    sender, incidents = dispatcher(pool)
    sender.submit(job(2, round=3), (0,))
    failure = "advance of organism 2, round 3, failed: the loss became nan"
    with pytest.raises(RunError, match=failure):
        sender.next()
    assert (len(pool.sent), incidents) == (1, [])


def late(report):
    """Answer the first job, then the second one together with a late second answer to the first."""
    return [
        lambda job, attempt: [done(job, attempt, "first")],
        lambda job, attempt: [done(job_of(0), 2, report), done(job, attempt)],
    ]


def job_of(organism):
    return job(organism, round=5)


@pytest.fixture
def twice_answered():
    def make(second):
        sender, incidents = dispatcher(FakePool(script=late(second)))
        sender.submit(job_of(0), (0,))
        sender.submit(job_of(1), (1,))
        assert sender.next().report == "first"
        return sender, incidents

    return make


def test_a_late_equal_answer_is_dropped_and_noted(twice_answered):
    sender, incidents = twice_answered("first")
    assert sender.next().job == job_of(1)
    assert incidents == [("duplicate", job_of(0), "attempt 2 answered late")]


def test_a_late_different_answer_names_organism_round_and_both_digests(twice_answered):
    sender, _ = twice_answered("second")
    message = "two answers to advance of organism 0, round 5, differ: digests first and second"
    with pytest.raises(RunError, match=message):
        sender.next()


def test_a_job_that_is_lost_after_it_was_answered_is_only_noted():
    """An order that timed out may be answered by its second attempt while the first is still to be reported."""
    pool = FakePool(workers=2, script=[lambda job, attempt: [done(job, 2), Lost(job, 1, "it hung")]])
    sender, incidents = dispatcher(pool)
    sender.submit(job(0), (0,))
    assert sender.next().attempt == 2
    assert (incidents, len(pool.sent)) == ([("lost", job(0), "it hung")], 1)


def test_answers_that_come_together_are_given_one_by_one():
    pool = FakePool(workers=2, script=[lambda job, attempt: [done(job_of(1)), done(job_of(0))]])
    sender, _ = dispatcher(pool)
    sender.submit(job_of(0), (0,))
    sender.submit(job_of(1), (1,))
    assert [sender.next().job.organism for _ in range(2)] == [1, 0]
