from hypothesis import given
from hypothesis import strategies as st

from runs.observability.measured import Committed, Ordered
from runs.observability.trace.spans import of_commit, of_order

durations = st.floats(0, 100)
parts = st.dictionaries(st.sampled_from(["prepare", "train", "probe", "assay", "genomes"]), durations)


def order(sent, answered, seconds, job="advance"):
    return Ordered(job, 3, 7, "trainer-1", 2, sent, answered, seconds)


@given(st.floats(0, 1e6), durations, parts, durations)
def test_parts_follow_one_another_within_their_order(sent, length, seconds, unnamed):
    total = sum(seconds.values()) + unnamed
    span = of_order(order(sent, sent + length, {**seconds, "total": total}))
    moments = [span.begin, *(at for part in span.parts for at in (part.begin, part.end)), span.end]
    assert moments == sorted(moments)
    assert [part.name for part in span.parts] == list(seconds)


def test_half_of_the_way_lies_before_the_work_and_half_after():
    span = of_order(order(10.0, 16.0, {"prepare": 1.0, "train": 2.0, "total": 4.0}))
    assert [(part.begin, part.end) for part in span.parts] == [(11.0, 12.0), (12.0, 14.0)]


def test_work_that_was_longer_by_another_clock_is_fitted_in():
    span = of_order(order(10.0, 12.0, {"prepare": 1.0, "train": 3.0, "total": 4.0}))
    assert [(part.begin, part.end) for part in span.parts] == [(10.0, 10.5), (10.5, 12.0)]


def test_a_span_says_what_it_is_of():
    told = dict(of_order(order(0.0, 1.0, {})).attributes)
    assert told == {"job": "advance", "round": 3, "organism": 7, "worker": "trainer-1", "attempt": 2}
    of_chunk = of_order(order(0.0, 1.0, {}, job="emit"))
    assert (of_chunk.name, dict(of_chunk.attributes)["chunk"]) == ("emit", 7)


def test_a_commit_is_files_and_then_the_journal():
    span = of_commit(Committed(4, 1.0, 2.0, 2.5))
    assert (span.name, span.lane, span.begin, span.end) == ("commit", "driver", 1.0, 2.5)
    assert [(part.name, part.begin, part.end) for part in span.parts] == [
        ("store", 1.0, 2.0),
        ("write", 2.0, 2.5),
    ]
