"""A run whose process is stopped at any of its operations ends, when it is resumed, as if nothing had been.

By default the operations are taken by a stride; ``pytest --crash-points all`` takes each.
"""

import os

from tests.faults.crashes import Scenario, crashed, go_on, recovers, start
from tests.fixtures.miniature import begin, miniature


def test_a_launch_can_be_stopped_anywhere_and_before_round_0_leaves_nothing_of_its_name(
    some, folder, unharmed, forking
):
    scenario = Scenario(start)
    names = scenario.operations(folder)
    named = names.index("rename") + 1
    for at in some(range(1, len(names) + 1), 40):
        crashed(scenario, folder, at, forking)
        assert folder.exists() == (at > named), at
        recovers(folder, unharmed)


def test_a_resume_can_be_stopped_anywhere_too(some, folder, unharmed, half_way, forking):
    scenario = Scenario(go_on, half_way)
    for at in some(range(1, len(scenario.operations(folder)) + 1), 20):
        crashed(scenario, folder, at, forking)
        recovers(folder, unharmed)


def test_a_process_that_has_the_number_of_one_that_was_stopped_can_launch_again(folder, unharmed):
    """In a container it is the rule."""
    left = folder.with_name(f".run.{os.getpid()}.partial")
    left.mkdir()
    (left / "config.yaml").write_text("half")
    recovers(folder, unharmed)
    assert list(folder.parent.iterdir()) == [folder]


def test_operations_are_counted_and_the_last_is_the_manifests(folder):
    names = Scenario(start).operations(folder)
    assert names == Scenario(start).operations(folder)
    assert names[-7:] == ["open", "write", "fsync", "replace", "open", "fsync", "close"]
    assert {"mkdir", "unlink", "COMMIT"} < set(names)


def test_a_crash_in_a_write_leaves_half_of_it(folder, forking):
    names = Scenario(start).operations(folder)
    crashed(Scenario(start), folder, names.index("write") + 1, forking)
    (partial,) = folder.parent.rglob("config.yaml*.partial")
    whole = folder.parent / "whole"
    begin(whole, miniature())
    text = (whole / "config.yaml").read_text()
    assert partial.read_text() == text[: len(text) // 2]
