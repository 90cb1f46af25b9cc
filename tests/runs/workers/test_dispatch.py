from collections import deque
from dataclasses import replace

import pytest

from runs.errors import RunError
from runs.observability.measured import Recorders
from runs.workers.dispatch import Dispatcher
from runs.workers.jobs import Done, Failed, InputLost, Job, Lost, Starved
from runs.workers.placement import home

TIMEOUT = 60.0


def job(organism=0, round=1, place=None):
    return Job("advance", round, organism, (), place)


def done(job, attempt=1, worker="w0", report="same"):
    return Done(job, attempt, report, b"", {}, worker)


class FakePool:
    """Workers that answer in the order of submission, unless a script says what happens instead."""

    def __init__(self, workers=1, script=()):
        self.workers = [f"w{number}" for number in range(workers)]
        self.sent = []
        self.now = 0.0
        self._script = deque(script)  # functions of (job, attempt, worker) that give the events of one wait
        self._under_way = deque()

    @property
    def idle(self):
        busy = [worker for _, _, worker in self._under_way]
        return [worker for worker in self.workers if worker not in busy]

    def submit(self, job, attempt, worker):
        assert worker in self.idle, "a job was sent to a busy or unknown worker"
        self.sent.append((job, attempt, worker))
        self._under_way.append((job, attempt, worker))

    def wait(self, seconds):
        if not self._under_way:
            self.now += seconds
            return []
        if self._script and self._script[0] is silence:
            self._script.popleft()
            self.now += seconds
            return []
        first = self._under_way.popleft()
        return self._script.popleft()(*first) if self._script else [done(*first)]

    def replace(self, worker):
        self.workers = [f"{name}'" if name == worker else name for name in self.workers]
        self._under_way = deque(one for one in self._under_way if one[2] != worker)


def silence(job, attempt, worker):
    """Stand for a wait in which nothing happens."""


def lost(job, attempt, worker):
    return [Lost(job, attempt, worker, "its worker died")]


def starved(job, attempt, worker):
    return [Lost(job, attempt, worker, "it had no room", starved=True)]


def failed(error):
    return lambda job, attempt, worker: [Failed(job, attempt, worker, error)]


def dispatcher(pool, attempts=3):
    incidents = []
    made = Dispatcher(
        pool,
        attempts,
        TIMEOUT,
        lambda *what: incidents.append(what),
        lambda answer: answer.report,
        lambda: pool.now,
    )
    return made, incidents


def organisms(pool):
    return [sent.organism for sent, _, _ in pool.sent]


class TestOrder:
    def test_lower_priorities_go_first_and_equal_ones_in_the_order_of_submission(self):
        pool = FakePool()
        sender, _ = dispatcher(pool)
        for organism, priority in enumerate([(2, 0), (1, -5), (1, -9), (1, -5)]):
            sender.submit(job(organism), priority)
        answered = [sender.answer().job.organism for _ in range(4)]
        assert answered == [2, 1, 3, 0]
        assert organisms(pool) == answered

    def test_all_idle_workers_are_kept_busy(self):
        pool = FakePool(workers=3)
        sender, _ = dispatcher(pool)
        for organism in range(5):
            sender.submit(job(organism), (organism,))
        sender.next()
        assert organisms(pool) == [0, 1, 2]
        sender.next()
        assert organisms(pool) == [0, 1, 2, 3]

    def test_answers_that_come_together_are_given_one_by_one(self):
        pool = FakePool(2, [lambda *sent: [done(job(1), worker="w1"), done(job(0))]])
        sender, _ = dispatcher(pool)
        sender.submit(job(0), (0,))
        sender.submit(job(1), (1,))
        assert [sender.answer().job.organism for _ in range(2)] == [1, 0]

    def test_a_job_that_avoids_a_worker_waits_for_another_and_lets_others_pass(self):
        pool = FakePool(workers=2)
        sender, _ = dispatcher(pool)
        sender.submit(job(0), (0,))
        sender.submit(job(1), (1,), avoid="w1")
        sender.submit(job(2), (2,))
        sender.next()
        assert [(sent.organism, worker) for sent, _, worker in pool.sent] == [(0, "w0"), (2, "w1")]
        sender.next()
        assert pool.sent[-1] == (job(1), 1, "w0")

    def test_a_worker_that_is_alone_does_what_it_should_avoid(self):
        pool = FakePool()
        sender, _ = dispatcher(pool)
        sender.submit(job(), (0,), avoid="w0")
        assert sender.answer().worker == "w0"

    def test_what_is_queued_may_be_held_back(self):
        pool = FakePool()
        sender, _ = dispatcher(pool)
        sender.submit(job(0), (0,))
        assert sender.next(send=False) is None
        assert (pool.sent, sender.busy) == ([], False)


class TestLosses:
    def test_a_lost_job_is_sent_again_before_later_ones_and_its_attempts_are_numbered(self):
        pool = FakePool(script=[lost, lost])
        sender, incidents = dispatcher(pool)
        sender.submit(job(0), (0,))
        sender.submit(job(1), (1,))
        answer = sender.answer()
        assert (answer.job, answer.attempt) == (job(0), 3)
        assert [sent[:2] for sent in pool.sent] == [(job(0), 1), (job(0), 2), (job(0), 3)]
        assert incidents == [("lost", job(0), "its worker died")] * 2
        assert sender.answer().job == job(1)

    @pytest.mark.parametrize(("attempts", "times"), [(1, "once"), (2, "twice"), (3, "3 times")])
    def test_a_job_that_is_lost_too_often_stops_the_run(self, attempts, times):
        pool = FakePool(script=[lost] * 3)
        sender, incidents = dispatcher(pool, attempts)
        sender.submit(job(4, round=7), (0,))
        message = (
            f"advance of organism 4, round 7, was lost {times}, .* its worker died; the run can be resumed"
        )
        with pytest.raises(RunError, match=message):
            sender.answer()
        assert len(pool.sent) == len(incidents) == attempts

    def test_one_that_is_lost_too_often_for_want_of_memory_is_handed_back(self):
        pool = FakePool(script=[lost, starved, starved])
        sender, incidents = dispatcher(pool)
        sender.submit(job(3, 7), (0,))
        answer = None
        while answer is None:
            answer = sender.next()
        text = "advance of organism 3, round 7, was lost 3 times, the last time because it had no room; the run can be "
        assert answer == Starved(job(3, 7), f"{text}resumed")
        assert len(incidents) == 3
        sender.submit(job(3, 7), (0,))
        assert sender.answer().attempt == 1

    def test_who_can_ask_for_nothing_less_is_told_of_the_want_of_memory(self):
        sender, _ = dispatcher(FakePool(script=[starved]), attempts=1)
        sender.submit(job(), (0,))
        with pytest.raises(RunError, match="was lost once, the last time because it had no room"):
            sender.answer()

    def test_in_calibration_there_is_nothing_to_resume(self):
        sender, _ = dispatcher(FakePool(script=[lost]), attempts=1)
        sender.submit(job(-1, round=0), (0,))
        with pytest.raises(RunError, match=r"its worker died$"):
            sender.answer()

    def test_a_worker_that_gives_no_answer_is_replaced_and_its_job_sent_again(self):
        pool = FakePool(script=[silence] * 60)
        sender, incidents = dispatcher(pool)
        sender.submit(job(), (0,))
        while (answer := sender.next()) is None:
            pass
        assert pool.sent == [(job(), 1, "w0"), (job(), 2, "w0'")]
        assert incidents == [("lost", job(), "it gave no answer for 60 s")]
        assert (answer.attempt, pool.now) == (2, 60.0)

    def test_a_worker_that_answers_in_the_last_moment_is_not_replaced(self):
        pool = FakePool(script=[silence] * 59)
        sender, incidents = dispatcher(pool)
        sender.submit(job(), (0,))
        while (answer := sender.next()) is None:
            pass
        assert (answer.attempt, incidents) == (1, [])

    def test_a_job_that_is_lost_after_it_was_answered_is_only_noted(self):
        """An attempt that was given up may answer while the next one, which then dies, is under way."""
        script = [
            lambda *sent: [done(job(), 1, "a worker that was given up")],
            lambda *sent: [Lost(*sent, "it hung")],
        ]
        pool = FakePool(script=[lost, *script])
        sender, incidents = dispatcher(pool)
        sender.submit(job(), (0,))
        assert sender.answer().attempt == 1
        sender.next()
        assert [kind for kind, _, _ in incidents] == ["lost"]
        assert len(pool.sent) == 2

    def test_a_queued_attempt_is_dropped_when_a_late_answer_is_faster(self):
        pool = FakePool(script=[lambda *sent: [*lost(*sent), done(job(), 1, "w0")]])
        sender, _ = dispatcher(pool)
        sender.submit(job(), (0,))
        assert sender.answer().attempt == 1
        assert sender.next() is None
        assert len(pool.sent) == 1


class TestFailures:
    def test_a_job_that_raises_is_tried_once_more_on_another_worker(self):
        pool = FakePool(2, [failed("the moon is full")])
        sender, incidents = dispatcher(pool)
        sender.submit(job(), (0,))
        assert sender.answer().worker == "w1"
        assert incidents == [("failed", job(), "the moon is full")]

    def test_one_that_raises_the_same_again_stops_the_run(self):
        pool = FakePool(2, [failed("the loss is odd")] * 2)
        sender, _ = dispatcher(pool, attempts=9)
        sender.submit(job(2, round=3), (0,))
        failure = "advance of organism 2, round 3, failed twice: the loss is odd; the run can be resumed"
        with pytest.raises(RunError, match=failure):
            sender.answer()
        assert [worker for _, _, worker in pool.sent] == ["w0", "w1"]

    def test_one_that_raises_something_else_each_time_is_tried_as_often_as_a_lost_one(self):
        pool = FakePool(2, [failed(str(number)) for number in range(3)])
        sender, _ = dispatcher(pool)
        sender.submit(job(), (0,))
        with pytest.raises(RunError, match="failed 3 times: 2; the run"):
            sender.answer()


class TestOptional:
    @pytest.mark.parametrize(
        ("script", "why"),
        [(lost, "its worker died"), (starved, "it had no room"), (failed("it broke"), "it broke")],
    )
    def test_it_is_tried_once_and_ends_nothing(self, script, why):
        pool = FakePool(script=[script])
        sender, incidents = dispatcher(pool, attempts=1)
        wanted = replace(job(), optional=True)
        sender.submit(wanted, (0,))
        sender.submit(job(1), (1,))
        answer = sender.next()
        assert isinstance(answer, InputLost)
        assert (answer.job, answer.reason) == (wanted, why)
        assert incidents == [("lost", wanted, why)]
        assert sender.answer().job == job(1)
        assert organisms(pool) == [0, 1]

    def test_nor_does_it_when_it_is_late(self):
        pool = FakePool(script=[silence] * (int(TIMEOUT) + 2))
        sender, _ = dispatcher(pool, attempts=1)
        sender.submit(replace(job(), optional=True), (0,))
        found = [sender.next() for _ in range(int(TIMEOUT) + 2)]
        assert [type(each) for each in found if each is not None] == [InputLost]


class TestStarved:
    def test_a_job_without_input_is_handed_back_and_may_be_submitted_anew(self):
        pool = FakePool(script=[lambda *sent: [InputLost(*sent, "its input was lost")]])
        sender, incidents = dispatcher(pool)
        sender.submit(job(), (0,))
        assert isinstance(sender.next(), InputLost)
        assert incidents == [("lost", job(), "its input was lost")]
        sender.submit(job(), (0,))
        assert sender.answer().attempt == 1

    def test_who_cannot_do_without_an_answer_is_told(self):
        sender, _ = dispatcher(FakePool(script=[lambda *sent: [InputLost(*sent, "its input was lost")]]))
        sender.submit(job(3, round=0), (0,))
        with pytest.raises(RunError, match="organism 3, round 0, could not begin: its input was lost"):
            sender.answer()

    def test_a_late_answer_to_it_counts_all_the_same(self):
        """Its first attempt was given up, its second had no input any more, and then the first answers."""
        script = [
            lost,
            lambda *sent: [InputLost(*sent, "its input was lost")],
            lambda *sent: [done(job(), 1, "a worker that was given up"), done(*sent)],
        ]
        sender, _ = dispatcher(FakePool(script=script))
        sender.submit(job(0), (0,))
        sender.submit(job(1), (1,))
        answers = [sender.next() for _ in range(4)]
        assert [getattr(answer, "attempt", None) for answer in answers] == [None, 2, 1, 1]


class TestDuplicates:
    @pytest.fixture
    def twice_answered(self):
        def make(second):
            script = [done_as("first"), lambda *sent: [done(job(0, 5), 2, "w9", second), done(*sent)]]
            sender, incidents = dispatcher(FakePool(script=script))
            sender.submit(job(0, 5), (0,))
            sender.submit(job(1, 5), (1,))
            assert sender.answer().report == "first"
            return sender, incidents

        return make

    def test_a_late_equal_answer_is_dropped_and_noted(self, twice_answered):
        sender, incidents = twice_answered("first")
        assert sender.answer().job == job(1, 5)
        assert incidents == [("duplicate", job(0, 5), "attempt 2 answered late")]

    def test_a_late_different_answer_names_organism_round_and_both_digests(self, twice_answered):
        sender, _ = twice_answered("second")
        message = "two answers to advance of organism 0, round 5, differ: digests first and second"
        with pytest.raises(RunError, match=message):
            sender.answer()


def done_as(report):
    return lambda job, attempt, worker: [done(job, attempt, worker, report)]


class TestPlaces:
    def test_jobs_of_one_place_are_done_by_one_worker_and_wait_for_it(self):
        pool = FakePool(workers=3)
        sender, _ = dispatcher(pool)
        for organism in range(4):
            sender.submit(job(organism, place="here"), (organism,))
        sender.next()
        assert organisms(pool) == [0], "the others wait, though two workers are idle"
        assert [sender.answer().job.organism for _ in range(3)] == [1, 2, 3]
        assert {worker for _, _, worker in pool.sent} == {home("here", pool.workers, 0)}

    def test_others_pass_those_that_wait(self):
        pool = FakePool(workers=2)
        sender, _ = dispatcher(pool)
        for organism, place in enumerate(["here", "here", None]):
            sender.submit(job(organism, place=place), (organism,))
        sender.next()
        assert organisms(pool) == [0, 2]

    def test_one_whose_worker_is_lost_is_sent_to_whoever_is_idle(self):
        pool = FakePool(2, [lost])
        sender, _ = dispatcher(pool)
        sender.submit(job(place="here"), (0,))
        assert sender.answer().attempt == 2


class TestWhatIsMeasured:
    """By a pool whose clock is moved by hand: an answer that takes two silent waits."""

    def told(self, script):
        class Keeper(Recorders):
            orders = ()

            def answered(self, order):
                self.orders = (*self.orders, order)

        keeper, pool = Keeper(), FakePool(script=script)
        sent = Dispatcher(pool, 3, TIMEOUT, lambda *_: None, str, lambda: pool.now, recorder=keeper)
        sent.submit(job(), (0,))
        answer = None
        while answer is None:
            answer = sent.next()
        return keeper.orders, answer, sent

    def test_an_answer_knows_when_it_was_sent_and_came(self):
        (order,), answer, _ = self.told([silence, silence])
        assert (order.sent, order.answered) == (answer.sent, answer.answered) == (0.0, 2.0)
        assert (order.job, order.round, order.number, order.worker, order.attempt) == (
            "advance",
            1,
            0,
            "w0",
            1,
        )
        assert order.parts == {}

    def test_of_an_order_that_was_lost_the_last_attempt_counts(self):
        def lost(job, attempt, worker):
            return [Lost(job, attempt, worker, "it died")]

        (order,), _, _ = self.told([silence, lost, silence])
        assert (order.attempt, order.sent, order.answered) == (2, 1.0, 2.0)

    def test_an_answer_that_was_given_up_has_no_times(self):
        """It comes after its worker was replaced, while the next attempt is under way."""

        def late(job, attempt, worker):
            return [done(job, 1, "w0")]

        orders, answer, _ = self.told([silence] * 60 + [late])
        assert (answer.attempt, answer.sent, orders) == (1, None, ())

    def test_workers_are_idle_outside_their_orders(self):
        _, _, dispatcher = self.told([silence, silence])
        dispatcher.pool.now += 3.0
        assert dispatcher.occupancy.idle(["w0"]) == {"w0": 3.0}
        assert dispatcher.waiting == 0
        dispatcher.submit(job(1), (0,))
        assert dispatcher.waiting == 1
