import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.workers.occupancy import Occupancy


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "ask", "wait"]), st.floats(0, 10)), max_size=30))
def test_idle_seconds_are_those_outside_all_errands(steps):
    """By adding up every step between two things that happen."""
    clock = Clock()
    occupancy, busy, idle = Occupancy(clock), False, 0.0
    occupancy.see(["w"])
    for what, seconds in steps:
        clock.now += seconds
        idle += 0.0 if busy else seconds
        if what == "begin" and not busy:
            occupancy.begin("w")
            busy = True
        elif what == "end":
            occupancy.end("w")
            busy = False
        elif what == "ask":
            assert occupancy.idle(["w"]) == {"w": pytest.approx(idle, abs=1e-6)}
            idle = 0.0


def test_who_comes_later_is_counted_from_then_on(clock):
    occupancy = Occupancy(clock)
    occupancy.see(["old"])
    clock.now = 4.0
    occupancy.see(["old", "new"])
    clock.now = 5.0
    assert occupancy.idle(["old", "new"]) == {"old": 5.0, "new": 1.0}


def test_who_is_gone_is_forgotten_and_may_come_again(clock):
    occupancy = Occupancy(clock)
    occupancy.begin("w")
    clock.now = 3.0
    assert occupancy.idle(["other"]) == {"other": 0.0}
    occupancy.end("w")  # late, and nobody counts it any more
    occupancy.see(["w"])
    clock.now = 5.0
    assert occupancy.idle(["w"]) == {"w": 2.0}
