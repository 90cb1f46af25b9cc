"""Timetables in a configuration: what is refused, and what is said of it."""

import pytest

from runs.config.reader import load
from runs.config.schema import scientific
from runs.errors import ConfigError

FREE = "lifecycle.only_gains=false"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["lifecycle.timetable=[]"], r"lifecycle\.only_gains: must be false for lifecycle\.timetable"),
        (
            [FREE, "births=none", "lifecycle.enabled=false", "lifecycle.timetable=[]"],
            r"lifecycle\.enabled: must be true for lifecycle\.timetable",
        ),
        (
            [FREE, "lifecycle.timetable=[{round: 7, organism: 0, births: 1}]"],
            r"timetable\[0\]\.round: must be at most rounds \(6\), not 7",
        ),
        (
            [FREE, "lifecycle.timetable=[{round: 6, organism: 3, births: 1}]"],
            r"timetable\[0\]\.organism: must be less than organism\.count \(3\), not 3",
        ),
        (
            [FREE, "births=none", "lifecycle.timetable=[{round: 6, organism: 1, births: 1}]"],
            r"timetable\[0\]\.births: must be 0 where births is none, not 1",
        ),
        (
            [FREE, "lifecycle.timetable=[{round: 6, organism: 1}, {round: 6, organism: 1}]"],
            r"timetable\[1\]: is the second turn of organism 1 before round 6; join them",
        ),
        ([FREE, "lifecycle.timetable=[{round: 1, organism: 0}]"], r"timetable\[0\]\.round"),
        (
            [FREE, "lifecycle.timetable=[{round: 2, organism: 0, deths: 1}]"],
            r"unknown key; did you mean lifecycle.timetable\[0\]\.deaths",
        ),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(overrides, told):
    with pytest.raises(ConfigError, match=told):
        load("smoke", overrides)


def test_it_is_part_of_what_a_digest_covers_where_it_is_given():
    turn = {"round": 3, "organism": 1, "births": 0, "deaths": 2}
    config = load("smoke", [FREE, "lifecycle.timetable=[{round: 3, organism: 1, deaths: 2}]"])
    assert scientific(config)["lifecycle"]["timetable"] == [turn]
    assert "timetable" not in scientific(load("smoke"))["lifecycle"]
