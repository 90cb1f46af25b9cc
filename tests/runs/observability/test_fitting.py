import io
import re
import sys

import pytest

from runs.observability.display import LiveBar, PlainLines, Quiet
from runs.observability.fitting import BARS, LOOK, FitProgress, bar, numbers, reporting, utilization
from tests.fixtures.terminal import shown_on_a_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def at(step, message=""):
    return FitProgress(
        "mine", step, 40, 0.12345, {"main": 0.001, "router": 5e-4}, [[0.25, 0.75], [0.0, 1.0]], 12345.6, 0.5, 0.875,
        "R2", message,
    )  # fmt: skip


def test_numbers_have_what_is_known():
    assert numbers(at(3)) == (
        ("loss", "0.1235"),
        ("validation loss", "0.5"),
        ("validation R2", "0.875"),
        ("lr", "main 0.001 router 0.0005"),
        ("tokens/s", "12,346"),
        ("experts", ":* _#"),
    )
    assert numbers(FitProgress("mine", 1, 40, 2.0)) == (("loss", "2"),)


@pytest.mark.parametrize("experts", [2, 8, 64])
def test_an_even_share_is_in_the_middle_of_the_bars(experts):
    assert bar(1 / experts, experts) == BARS[4]
    assert (bar(0.0, experts), bar(1.0, experts)) == (BARS[0], BARS[-1])
    bars = [bar(share / 100, experts) for share in range(101)]
    assert [BARS.index(each) for each in bars] == sorted(BARS.index(each) for each in bars)
    assert utilization([[1 / experts] * experts] * 2) == " ".join([BARS[4] * experts] * 2)


def test_plain_lines_are_some_seconds_apart():
    stream, clock = io.StringIO(), Clock()
    with PlainLines(LOOK, stream, clock, interval=5.0) as report:
        report(FitProgress("mine", message="going on after step 10"))
        for step in (11, 12, 13, 40):
            report(at(step))
            clock.now += 3.0
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "going on after step 10",
        "mine 11/40",
        "mine 13/40",
        "mine 40/40",
    ]
    assert lines[1].endswith("-:-- left")
    assert lines[2].endswith("1:21 left")  # 6 seconds for 2 of 29 steps


def test_messages_alone_are_shown_to_who_wants_it_quiet():
    stream = io.StringIO()
    with reporting(stream, quiet=True) as report:
        report(at(3))
        report(at(4, "said"))
    assert stream.getvalue() == "said\n"
    assert isinstance(reporting(stream, quiet=True), Quiet)


def test_a_table_is_for_terminals_that_can_show_one(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(reporting(Terminal()), LiveBar)
    assert isinstance(reporting(io.StringIO()), PlainLines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(reporting(Terminal()), PlainLines)


SHOW = """
import sys
from runs.observability.display import LiveBar
from runs.observability.fitting import LOOK, FitProgress
with LiveBar(LOOK, sys.stderr) as report:
    report(FitProgress("mine", message="going on after step 1"))
    for step in (2, 40):
        report(FitProgress("mine", step, 40, 0.125, {"main": 1e-3}, [[0.5, 0.5]], 1000.0, 0.5, 0.75, "R2"))
    report.tell("stopping")
"""


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_shows_a_bar_a_table_and_what_was_told(columns):
    lines = [line.rstrip() for line in shown_on_a_terminal(columns, [sys.executable, "-c", SHOW])]
    text = "\n".join(lines)
    assert lines[0] == "going on after step 1"
    assert re.search(r"mine 40/40 .*100% .*0:00 left", text)
    for name, value in (
        ("loss", "0.125"),
        ("validation R2", "0.75"),
        ("tokens/s", "1,000"),
        ("experts", "=="),
    ):
        assert re.search(rf"^{name} +{re.escape(value)}$", text, re.MULTILINE), text
    assert "plasmodia: stopping" in text


def test_a_signal_is_answered_beside_the_stream(capfd):
    with PlainLines(LOOK, io.StringIO()) as report:
        report.tell("stopping")
    with Quiet(LOOK, io.StringIO()) as report:
        report.tell("soon")
    assert capfd.readouterr().err == "plasmodia: stopping\nplasmodia: soon\n"
