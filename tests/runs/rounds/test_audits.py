"""Audits: who is chosen, to whom the order goes a second time, and what an answer that differs comes to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.seeding import uniform
from runs.errors import RunError
from runs.rounds.audits import Audits
from runs.training.answer import RoundReport
from runs.workers.jobs import ADVANCE, AGAIN, AUDIT, Done, Job
from tests.faults.fake_trainers import FakeTrainer, Play, ledger_config


class Sent:
    """In place of a dispatcher: keeps what is submitted."""

    def __init__(self):
        self.each = []

    def submit(self, job, priority, avoid=None):
        self.each.append((job, priority, avoid))


def audits(share=1.0, since=1, seed=0):
    sent = Sent()
    config = ledger_config(seed=seed, **{"execution.audit": share})
    return Audits(config, since, sent), sent


def answered(round=1, organism=0, name=ADVANCE):
    order = Play(ledger_config()).ledger.decision(organism, 1)
    census = replace(FakeTrainer(ledger_config(), organism).census(order), round=round)
    job = Job(name, round, organism, ("state", order, {}), place="w1")
    return Done(job, 1, RoundReport(census, {}), b"", {}, "w1")


@given(
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 3),
    round=st.integers(1, 9),
    organism=st.integers(0, 9),
)
def test_an_order_is_sent_again_iff_its_draw_is_below_the_share(share, seed, round, organism):
    audit, sent = audits(share, seed=seed)
    audit.follow(answered(round, organism), (2.0,))
    chosen = uniform(seed, round, f"audit:{organism}") < share
    assert len(sent.each) == chosen
    assert audit.needs(round) == chosen


def test_it_goes_to_another_worker_with_the_same_input_and_the_round_waits_for_it():
    audit, sent = audits()
    done = answered(round=3, organism=2)
    audit.follow(done, (3, -1.0, 2))
    assert sent.each == [(Job(AUDIT, 3, 2, done.job.arguments), (3, -1.0, 2), "w1")]
    assert [round for round in range(6) if audit.needs(round)] == [3]
    audit.end(sent.each[0][0])
    assert not audit.needs(3)


def test_what_another_environment_made_is_not_audited():
    audit, sent = audits(since=3)
    for round in (1, 2, 3):
        audit.follow(answered(round), (1.0,))
    assert [job.round for job, _, _ in sent.each] == [3]


def test_one_that_is_equal_is_taken():
    audit, _ = audits()
    first, second = (answered(name=name) for name in (ADVANCE, AUDIT))
    audit.compare(second.job, replace(second.report.census), first.report.census)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (AUDIT, r"on a second worker: states \w+ and other, first in state; a task, family or measure"),
        (AGAIN, r"the second time: state other, in the journal \w+, first in state; the machine or"),
    ],
)
def test_one_that_differs_is_refused(name, told):
    audit, _ = audits()
    done = answered(round=2, name=name)
    known = done.report.census
    with pytest.raises(RunError, match=f"^round 2 of organism 0 came out differently {told}"):
        audit.compare(done.job, replace(known, state="other"), known)


def test_what_is_made_again_of_another_environment_may_differ():
    audit, _ = audits(since=3)
    done = answered(round=2, name=AGAIN)
    audit.compare(done.job, replace(done.report.census, state="other"), done.report.census)
