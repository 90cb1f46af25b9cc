import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runs.serving.prefixes import Prefixes

sequences = st.lists(st.sampled_from("ab"), min_size=0, max_size=7).map(tuple)


def cut(part, start, end):
    return part[start:end]


def taking(tokens):
    """What a reader would keep: of each token all up to it, so that a part in a wrong place is seen."""
    return lambda start, end: tuple(tokens[: at + 1] for at in range(start, end))


def put(cache, tokens):
    return cache.insert(tokens, taking(tokens))


def looked_up(cache, tokens):
    held = cache.match(tokens)
    cache.release(held)
    assert [each for part in held.parts for each in part] == [tokens[: at + 1] for at in range(held.length)]
    return held.length


class Against(RuleBasedStateMachine):
    """A cache beside a plain list of all that was ever kept in it."""

    limits = (4, 12)

    def __init__(self):
        super().__init__()
        self.cache = Prefixes(*self.limits, cut)
        self.kept = set()  # all beginnings that were ever kept
        self.held = []

    @rule(tokens=sequences)
    def keep(self, tokens):
        kept = put(self.cache, tokens)
        assert kept <= len(tokens)
        self.kept |= {tokens[:length] for length in range(kept + 1)}
        assert looked_up(self.cache, tokens) == kept

    @rule(tokens=sequences)
    def find(self, tokens):
        length = looked_up(self.cache, tokens)
        assert length == 0 or tokens[:length] in self.kept

    @rule(tokens=sequences)
    def hold(self, tokens):
        self.held.append((tokens, self.cache.match(tokens)))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        _, held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.cache.release(held)

    @invariant()
    def limits_hold_and_numbers_are_right(self):
        nodes = list(self.cache._nodes())
        assert self.cache.entries == len(nodes) <= self.limits[0]
        assert self.cache.tokens == sum(len(node.tokens) for node in nodes) <= self.limits[1]
        assert all(len(node.tokens) == len(node.part) > 0 for node in nodes)

    @invariant()
    def what_is_held_stays(self):
        for tokens, held in self.held:
            assert looked_up(self.cache, tokens) >= held.length


class AgainstFewTokens(Against):
    limits = (20, 5)


class AgainstOneEntry(Against):
    limits = (1, 100)


class AgainstNothing(Against):
    limits = (0, 100)


FEW = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
TestAgainst = Against.TestCase
TestAgainst.settings = FEW
TestAgainstFewTokens = AgainstFewTokens.TestCase
TestAgainstFewTokens.settings = FEW
TestAgainstOneEntry = AgainstOneEntry.TestCase
TestAgainstOneEntry.settings = FEW
TestAgainstNothing = AgainstNothing.TestCase
TestAgainstNothing.settings = FEW


def test_without_limits_the_longest_common_beginning_is_found():
    cache = Prefixes(100, 100, cut)
    kept = ["abcd", "abxy", "b", "abcdef"]
    for each in kept:
        assert put(cache, each) == len(each)
    assert cache.tokens == len("abcd") + len("xy") + len("b") + len("ef")
    assert cache.entries == 5  # ab, cd, xy, ef, b
    assert looked_up(cache, "abcdef") == 6
    assert looked_up(cache, "abcz") == 3
    assert looked_up(cache, "axe") == 1
    assert looked_up(cache, "zebra") == 0
    assert put(cache, "abc") == 3
    assert cache.entries == 5  # nothing is new


def test_what_was_not_used_for_longest_goes_first():
    cache = Prefixes(3, 100, cut)
    for each in ("aaa", "bbb", "ccc"):
        put(cache, each)
    looked_up(cache, "aaa")
    put(cache, "ddd")
    assert [looked_up(cache, each) for each in ("aaa", "bbb", "ccc", "ddd")] == [3, 0, 3, 3]
    assert cache.evictions == 1


def test_what_all_begin_with_outlives_what_follows_it():
    cache = Prefixes(3, 100, cut)
    for each in ("system1", "system2", "system3"):
        put(cache, each)
    assert [looked_up(cache, f"system{each}") for each in (1, 2, 3)] == [6, 7, 7]


def test_a_sequence_that_is_too_long_is_kept_as_far_as_there_is_room():
    cache = Prefixes(10, 5, cut)
    assert put(cache, "abcdefgh") == 5
    held = cache.match("abcde")
    assert put(cache, "zzz") == 0
    cache.release(held)
    assert put(cache, "zzz") == 3


def test_a_second_release_and_negative_limits_are_refused():
    cache = Prefixes(1, 1, cut)
    held = cache.match("a")
    cache.release(held)
    with pytest.raises(ValueError, match="can be released once"):
        cache.release(held)
    with pytest.raises(ValueError, match="max_entries and max_tokens must be at least 0, but are 1 and -1"):
        Prefixes(1, -1, cut)
