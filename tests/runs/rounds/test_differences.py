import json

from hypothesis import given
from hypothesis import strategies as st

from runs.rounds.differences import Difference, differences, named, side_by_side

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_there_are_differences_iff_the_json_texts_differ(first, second):
    texts = [json.dumps(value, sort_keys=True) for value in (first, second)]
    assert (list(differences(first, second)) == []) == (texts[0] == texts[1])


def test_differences_are_named_by_path():
    first = {"a": 1, "b": [{"c": 2.5}, 3], "d": None}
    second = {"a": 1, "b": [{"c": 2.25}], "e": True}
    assert list(differences(first, second)) == [
        ("b[0].c", "2.5", "2.25"),
        ("b[1]", "3", "(missing)"),
        ("d", "null", "(missing)"),
        ("e", "(missing)", "true"),
    ]


def test_two_events_are_shown_side_by_side():
    difference = Difference(4, 7, "outcome", 2, '{"cell":3,"objective":0.5}', '{"cell":12,"objective":0.5}')
    assert named(difference) == "round 4, event 7 (outcome of organism 2)"
    assert side_by_side(difference).splitlines() == [
        "round 4, event 7 (outcome of organism 2)",
        "      journaled  replayed",
        "cell  3          12",
    ]


def test_an_event_that_one_side_lacks_is_shown_whole():
    text = side_by_side(Difference(4, 7, "summary", None, None, '{"round":4}'))
    assert text.splitlines() == [
        "round 4, event 7 (summary)",
        "       journaled  replayed",
        'event  (missing)  {"round":4}',
    ]


def test_long_values_are_cut():
    text = side_by_side(Difference(1, 0, "census", 0, json.dumps("x" * 200), json.dumps("y" * 200)))
    assert max(map(len, text.splitlines())) <= 150
