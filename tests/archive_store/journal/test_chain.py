import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_store.errors import ChainError, JournalError
from archive_store.journal.chain import Event, numbered, organism_of, round_digest, verify
from qd.records import Candidate, ComponentId, Outcome

BODIES = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False) | st.text(max_size=3), max_size=3),
    max_size=4,
)
HISTORIES = st.lists(BODIES, min_size=1, max_size=4)


def written(history):
    events, digests, previous = [], {}, "base"
    for number, bodies in enumerate(history):
        made = numbered(number, [("summary", body) for body in bodies])
        previous = digests[number] = round_digest(previous, made)
        events += made
    return digests, events, [event.mark for event in events]


def test_the_digest_is_that_of_the_previous_one_and_the_bodies():
    events = numbered(0, [("a", {"x": 1.0}), ("b", {})])
    text = 'base[{"kind":"a","x":1.0},{"kind":"b"}]'
    assert round_digest("base", events) == hashlib.sha256(text.encode()).hexdigest()


def test_events_are_numbered_and_know_their_organism():
    name = ComponentId(3, 1, 0)
    candidate = Candidate(name, (), name, 0, (), "0" * 64, 2, (0.5,) * 5, (False,) * 5, 0.25)
    outcome = Outcome(candidate, "insert", 7, None, None)
    events = numbered(2, [("decision", {"organism": 1}), ("outcome", outcome), ("summary", {})])
    assert [(event.round, event.seq, event.kind, event.organism) for event in events] == [
        (2, 0, "decision", 1),
        (2, 1, "outcome", 3),
        (2, 2, "summary", None),
    ]
    assert events[1].value["candidate"]["component"] == [3, 1, 0]
    assert organism_of(events[1].value) == 3


@given(history=HISTORIES)
def test_what_was_written_verifies(history):
    verify("base", *written(history))


@given(history=HISTORIES, draw=st.data())
def test_any_change_of_any_body_is_named(history, draw):
    digests, events, marks = written(history)
    if not events:
        return
    at = draw.draw(st.integers(0, len(events) - 1))
    body = events[at].body
    place = draw.draw(st.integers(0, len(body) - 1))
    events[at] = replace(
        events[at], body=body[:place] + ("0" if body[place] != "0" else "1") + body[place + 1 :]
    )
    with pytest.raises(
        ChainError, match=rf"round {events[at].round}, event {events[at].seq} .*not as it was"
    ) as error:
        verify("base", digests, events, marks)
    assert (error.value.round, error.value.seq) == (events[at].round, events[at].seq)
    marks[at] = events[at].mark  # a careful forger: then the round's digest tells
    with pytest.raises((ChainError, JournalError)):
        verify("base", digests, events, marks)


HISTORY = [[{"a": 1}], [{"a": 2}, {"a": 3}], [{"a": 4}]]


def test_a_forged_body_and_mark_are_found_by_the_round():
    digests, events, marks = written(HISTORY)
    events[1] = Event(1, 0, None, "summary", events[1].body.replace("2", "5"))
    marks[1] = events[1].mark
    with pytest.raises(ChainError, match=r"the events of round 1 give digest .*, journaled is") as error:
        verify("base", digests, events, marks)
    assert (error.value.round, error.value.seq) == (1, None)


def test_another_base_is_found():
    with pytest.raises(ChainError, match="the events of round 0 give digest"):
        verify("other", *written(HISTORY))


def test_a_missing_event_is_named():
    digests, events, marks = written(HISTORY)
    del events[1], marks[1]
    with pytest.raises(ChainError, match="round 1, event 0 is missing"):
        verify("base", digests, events, marks)


def test_a_missing_round_is_named():
    digests, events, marks = written(HISTORY)
    del digests[1], events[1:3], marks[1:3]
    with pytest.raises(ChainError, match="round 1 is missing"):
        verify("base", digests, events, marks)


def test_events_without_a_round_are_named():
    digests, events, marks = written(HISTORY)
    del digests[2]
    with pytest.raises(ChainError, match="round 2 has events but no digest"):
        verify("base", digests, events, marks)


def test_an_event_listed_under_another_kind_is_named():
    digests, events, marks = written(HISTORY)
    events[0] = replace(events[0], kind="census")
    with pytest.raises(ChainError, match="round 0, event 0 is listed as another kind or organism"):
        verify("base", digests, events, marks)


@pytest.mark.parametrize("body", ["{", "[1]"])
def test_a_body_that_is_no_object_is_named(body):
    with pytest.raises(JournalError, match="body of event 4 of round 3 is not a JSON object"):
        _ = Event(3, 4, None, "census", body).value
