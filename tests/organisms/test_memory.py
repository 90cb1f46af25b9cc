import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.memory import Trace

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(VALUES, st.floats(0, 0.99))
def test_it_is_an_exponentially_weighted_mean(values, decay):
    trace = Trace(decay)
    for value in values:
        trace.store(value)
    expected = pd.Series(values).ewm(alpha=1 - decay, adjust=False).mean().iloc[-1]
    assert trace.recall() == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert min(values) - 1e-6 <= trace.recall() <= max(values) + 1e-6


def test_before_the_first_value_it_remembers_nothing_and_the_first_is_taken_whole():
    trace = Trace(0.9)
    assert trace.recall() is None
    trace.store(5.0, weight=0.01)
    assert trace.recall() == 5.0


def test_a_light_value_counts_for_less():
    whole, half, nothing = (Trace(0.5, 1.0) for _ in range(3))
    for trace, weight in ((whole, 1.0), (half, 0.5), (nothing, 0.0)):
        trace.store(3.0, weight)
    assert (whole.recall(), half.recall(), nothing.recall()) == (2.0, 1.5, 1.0)


@given(VALUES, VALUES, st.floats(0, 0.99))
def test_it_can_go_on_from_what_it_remembered(before, after, decay):
    one = Trace(decay)
    for value in before:
        one.store(value)
    other = Trace(decay, one.recall())
    for value in after:
        one.store(value)
        other.store(value)
    assert one.recall() == other.recall()


def test_clearing_forgets_everything():
    trace = Trace(0.9, 3.0)
    trace.clear()
    assert trace.recall() is None
    trace.store(7.0)
    assert trace.recall() == 7.0


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay of a trace must be in \[0, 1\); got"):
        Trace(decay)
