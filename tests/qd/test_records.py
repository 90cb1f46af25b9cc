import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qd.canonical import canonical, sha256
from qd.emitters.records import Campaign, Emission, Emitted, HeldOut, HeldOutElite, Parent, Tried
from qd.records import (
    Birth,
    Candidate,
    Census,
    Child,
    ComponentId,
    Death,
    Decision,
    Genome,
    Outcome,
    Proposal,
    Record,
    Scored,
    Trial,
    component_id,
    read,
)
from qd.typed import LARGEST, Finite, Positive, Share

COUNTS = st.integers(0, 2**40)
NUMBERS = st.floats(allow_nan=False).map(lambda value: value + 0.0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
IDS = st.builds(ComponentId, COUNTS, COUNTS, COUNTS)
MANY_IDS = st.lists(IDS, max_size=2).map(tuple)
FIVE = st.tuples(*[NUMBERS] * 5)
SHARES = st.floats(0, 1)
FINITE = st.floats(-LARGEST, LARGEST).map(lambda value: value + 0.0)
BY_NAME = {
    "component": IDS,
    "parents": MANY_IDS,
    "lineage": IDS,
    "genes": st.lists(st.tuples(TEXTS, NUMBERS), max_size=3).map(tuple),
    "test_metrics": st.lists(st.tuples(TEXTS, NUMBERS), max_size=3).map(tuple),
    "usage": st.lists(st.tuples(TEXTS, SHARES), max_size=3).map(tuple),
    "genomes": st.lists(TEXTS, max_size=2).map(tuple),
    "measures": FIVE,
    "behaviour": st.tuples(*[SHARES] * 5),
    "out_of_range": st.tuples(*[st.booleans()] * 5),
    "gains": st.lists(NUMBERS, max_size=3).map(tuple),
    "strengths": st.lists(NUMBERS, max_size=3).map(tuple),
    "chosen": st.none() | COUNTS,
    "status": st.sampled_from(["insert", "replace", "reject"]),
    "incumbent": st.none() | IDS,
}
BY_TYPE = {
    int: COUNTS,
    int | None: st.none() | COUNTS,
    float: NUMBERS,
    float | None: st.none() | NUMBERS,
    str: TEXTS,
    str | None: st.none() | TEXTS,
    bool: st.booleans(),
    Share: SHARES,
    Share | None: st.none() | SHARES,
    Finite: FINITE,
    Finite | None: st.none() | FINITE,
    Positive: st.floats(0, LARGEST),
}


def built(kind, **special):
    named = BY_NAME | special
    fields = dataclasses.fields(kind)
    return st.builds(
        kind, **{each.name: named[each.name] if each.name in named else BY_TYPE[each.type] for each in fields}
    )


def some(strategy):
    return st.lists(strategy, max_size=2).map(tuple)


BIRTHS = built(Birth, lineage=st.none() | IDS, others=some(built(Proposal, lineage=st.none() | IDS)))
CAMPAIGNS = built(Campaign, improvements=some(some(st.none() | FINITE)))
KINDS = {
    Record: built(Record),
    Candidate: built(Candidate),
    Outcome: built(Outcome, candidate=built(Candidate)),
    Death: built(Death),
    Birth: BIRTHS,
    Census: built(Census, records=some(built(Record)), trials=some(built(Trial))),
    Decision: built(Decision, births=some(BIRTHS), deaths=some(built(Death))),
    Child: built(Child),
    Scored: built(Scored),
    Parent: built(Parent),
    Campaign: CAMPAIGNS,
    Emission: built(
        Emission,
        parents=some(built(Parent)),
        children=some(some(COUNTS)),
        campaign=st.none() | CAMPAIGNS,
    ),
    Emitted: built(Emitted, contenders=some(built(Child)), tried=some(st.none() | built(Tried))),
    HeldOut: built(HeldOut, elites=some(built(HeldOutElite))),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_journaled_is_read_back(kind, data):
    value = data.draw(KINDS[kind])
    assert read(kind, json.loads(canonical(value))) == value


def test_keys_of_no_field_are_ignored():
    death = Death(ComponentId(1, 2, 3), -1.0, 0.0, 0.5, 0.25, "fitness", True)
    assert read(Death, {**json.loads(canonical(death)), "kind": "death"}) == death


def test_a_census_without_metrics_has_the_text_that_it_had_before_there_were_any():
    census = Census(1, 2, 3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, None, None, "ab", (), None)
    text = canonical(census)
    assert "test_metrics" not in text
    assert read(Census, json.loads(text)) == census
    measured = dataclasses.replace(census, test_metrics=(("of sines", 0.5),))
    assert json.loads(canonical(measured)) == json.loads(text) | {"test_metrics": [["of sines", 0.5]]}


def test_a_record_without_a_load_has_the_digest_that_it_had_before_there_were_loads():
    founder = ComponentId(1, 0, 2)
    record = Record(
        ComponentId(1, 4, 3), (founder,), founder, 0, (("rank", 4.0),), "a" * 64, 2,
        (0.1, 0.2, 0.3, 0.4, 0.5), 0.3, 0.2, 0.05, 0.7, 100.0, 50.0,
    )  # fmt: skip
    text = canonical(record)
    assert sha256(text) == "b21e7144e54457012ddebb4c7fb9156ce93f3f5717a0aee3eb5daad00cc010b6"
    used = dataclasses.replace(record, load=0.0, usage=(("sine", 0.5),))
    assert json.loads(canonical(used)) == json.loads(text) | {"load": 0.0, "usage": [["sine", 0.5]]}


def test_a_record_that_lacks_a_field_is_refused():
    text = json.loads(canonical(Census(1, 2, 3, *[0.5] * 6, None, None, "ab", (), None)))
    del text["quarantine"]
    with pytest.raises(ValueError, match="quarantine is missing"):
        read(Census, text)


def test_what_is_wrong_in_a_census_is_said_with_its_place():
    founder = ComponentId(1, 0, 2)
    record = Record(founder, (), founder, 0, (("rank", 4.0),), "a" * 64, 2, (0.1,) * 5, *[0.3] * 6)
    text = json.loads(canonical(Census(1, 2, 3, *[0.5] * 6, None, None, "ab", (record,), None)))
    text["records"][0]["genes"][0][1] = "many"
    with pytest.raises(ValueError, match=r"^records\[0\].genes\[0\]\[1\] is 'many' and must be a number$"):
        read(Census, text)


def test_values_are_frozen():
    death = Death(ComponentId(1, 2, 3), -1.0, 0.0, 0.5, 0.25, "fitness", True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        death.z = 0.0


def test_component_ids_name_and_order():
    ids = [ComponentId(10, 0, 0), ComponentId(2, 10, 1), ComponentId(2, 9, 3)]
    assert [str(item) for item in sorted(ids)] == ["2.9.3", "2.10.1", "10.0.0"]
    assert component_id([2, 9, 3]) == ids[2]


def test_genomes_are_compared_by_identity():
    first, second = (Genome("pseudopods", 0, (), {"W": np.zeros(2)}) for _ in range(2))
    assert first in (first,)
    assert first != second
