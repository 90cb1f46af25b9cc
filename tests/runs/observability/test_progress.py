import errno
import io
import sys
from dataclasses import replace

import pytest

from runs.machine.interruption import STOPPING
from runs.observability.display import Lasting, LiveBar, PlainLines, duration, joined, remaining
from runs.observability.progress import LOOK, Progress, place, reporting, view
from tests.fixtures.terminal import shown_on_a_terminal

NUMBERS = "coverage 25.0%  QD score 12.50  T 0.125  births 7  deaths 3"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def at(round, stage="rounds", message="", done=None):
    return Progress(stage, round, 40, 0.25, 12.5, 0.125, 7, 3, round / 40 if done is None else done, message)


def test_a_line_holds_the_numbers_that_are_asked_for():
    assert place(at(3)) == "round 3/40"
    assert joined(view(at(3))) == NUMBERS
    assert (place(at(0, "calibration")), joined(view(at(0, "calibration")))) == ("calibration", "")


def test_score_and_loss_come_first_where_they_are_known():
    known = replace(at(3), score=0.97512, loss=0.08125)
    assert joined(view(known)) == f"best validation score 0.9751  loss 0.08125  {NUMBERS}"


def test_stages_without_parts_have_neither_share_nor_time_that_is_left():
    stream = io.StringIO()
    with PlainLines(LOOK, stream, Clock()) as report:
        report(Progress("loading"))
        report(Progress("starting workers"))
        report(at(0, "calibration"))
    assert stream.getvalue() == "loading\nstarting workers\ncalibration  0%, -:-- left\n"


def test_the_bar_begins_before_anything_is_known():
    stream = Terminal()
    with LiveBar(LOOK, stream, Clock()) as report:
        report(Progress("starting workers"))
    assert "loading" in stream.getvalue()
    assert "starting workers" in stream.getvalue()
    assert "left" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-:--"), (0.4, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_what_is_left_is_in_proportion():
    assert remaining(10.0, 0.25) == 30.0
    assert remaining(10.0, 1.0) == 0.0
    assert remaining(10.0, 0.0) is None


def test_plain_lines_come_every_few_seconds_at_a_new_stage_and_at_the_end():
    clock, stream = Clock(), io.StringIO()
    with PlainLines(LOOK, stream, clock, interval=5.0) as report:
        report(at(0, "calibration", done=0.0))
        report(at(0, "calibration", done=0.5))  # too soon
        report(at(0))
        for round in range(1, 41):
            clock.now += 1.0
            report(at(round))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "calibration  0%, -:-- left"
    assert [line.split()[1] for line in lines[1:]] == [f"{round}/40" for round in range(0, 41, 5)]
    assert lines[2].endswith("12%, 0:35 left")
    assert lines[-1].endswith("100%, 0:00 left")


def test_a_resumed_run_estimates_from_where_it_starts():
    clock, stream = Clock(), io.StringIO()
    with PlainLines(LOOK, stream, clock, interval=5.0) as report:
        report(at(20))
        clock.now += 10.0
        report(at(30))
    assert stream.getvalue().endswith("75%, 0:10 left\n")


def test_messages_are_shown_at_once():
    clock, stream = Clock(), io.StringIO()
    with PlainLines(LOOK, stream, clock) as report:
        report(at(1))
        report(at(1, message="worker 2 was lost; its order is sent again"))
    assert stream.getvalue().splitlines()[-1] == "worker 2 was lost; its order is sent again"


def test_the_bar_shows_numbers_and_messages_on_its_stream_only(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with LiveBar(LOOK, stream, Clock()) as report:
        report(at(0, "calibration", done=0.5))
        report(at(10, message="[bold]worker[/bold] 2 was lost"))
    text = stream.getvalue()
    assert "round 10/40 " in text
    assert NUMBERS in text
    assert "[bold]worker[/bold] 2 was lost" in text
    assert "-:-- left" in text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_no_color_is_respected(no_color, coloured, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    with LiveBar(LOOK, stream, Clock()) as report:
        report(at(10))
    assert (
        "\x1b[38;" in stream.getvalue() or "\x1b[3" in stream.getvalue().replace("\x1b[?", "")
    ) == coloured


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [(Terminal(), "xterm", LiveBar), (Terminal(), "dumb", PlainLines), (io.StringIO(), "xterm", PlainLines)],
)
def test_the_bar_is_for_terminals(stream, term, kind, monkeypatch):
    monkeypatch.setenv("TERM", term)
    assert isinstance(reporting(stream), kind)


def test_quiet_shows_no_reports_and_what_is_told(capfd):
    with reporting(io.StringIO(), quiet=True) as report:
        report(at(10))
        report.tell("stopping")
    assert capfd.readouterr() == ("", "plasmodia: stopping\n")


class Ended(io.StringIO):
    """A terminal that was closed, or whose reader has left."""

    def __init__(self, is_terminal):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")

    def flush(self):
        raise BrokenPipeError


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_end_of_a_terminal_is_no_error(is_terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    with reporting(Lasting(Ended(is_terminal))) as report:
        report(at(10, message="a worker was lost"))
        report(at(40))


ON_A_TERMINAL = """
import os, signal, sys
from runs.machine.interruption import listening
from runs.observability.progress import Progress, reporting
with reporting(sys.stderr) as report, listening(report.tell) as stop:
    stop.patiently()
    for round in range(1, 4):
        report(Progress("rounds", round, 4, 0.25, 12.5, 0.125, 7, 3, round / 4, "a word" if round == 3 else ""))
        print("of a user's [task]", file=sys.stderr)
        if round == 2:
            os.kill(os.getpid(), signal.SIGINT)
print("the end")
"""


@pytest.mark.parametrize("columns", [20, 60, 110])
def test_what_ctrl_c_is_answered_is_drawn_with_the_bar(columns):
    lines = shown_on_a_terminal(columns, [sys.executable, "-c", ON_A_TERMINAL])
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    told = f"plasmodia: {STOPPING}"
    assert text.count(told) == 1
    assert text.endswith(f"{told} the end")  # at the foot, below the bar
    assert text.count("of a user's [task]") == 3
    assert text.count("a word") == 1
    assert text.count("deaths") == 1  # one bar, and nothing left of those before
