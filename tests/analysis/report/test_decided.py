import pandas as pd

from analysis.report.blocks import Table
from analysis.report.decided import trials


def tried(slot: int, candidate: int, **row: object) -> dict[str, object]:
    row = {"operator": "variation", "gain": 0.01, "strength": 1.0, "chosen": False} | row
    return {"organism": 3, "round": 5, "slot": slot, "candidate": candidate} | row


def test_of_births_that_were_tried_the_tables_say_what_was_born_and_at_what_strength() -> None:
    frame = pd.DataFrame(
        [
            tried(0, 0, operator="random", gain=-0.5, strength=0.125),
            tried(0, 1, gain=0.25, strength=0.5, chosen=True),
            tried(1, 0, gain=0.125, strength=0.25),
        ]
    )
    by_operator, each = (block for block in trials(frame) if isinstance(block, Table))
    assert list(by_operator.rows) == [
        ("random", "1", "0", "-0.5", "-0.5", "0.125"),
        ("variation", "2", "1", "0.1875", "0.25", "0.375"),
    ]
    assert list(each.rows) == [
        ("round 5, organism 3, slot 0", "2", "0.25", "candidate 1, by variation, at strength 0.5"),
        ("round 5, organism 3, slot 1", "1", "0.125", "none"),
    ]


def test_without_trials_there_are_no_tables() -> None:
    assert trials(pd.DataFrame()) == []
