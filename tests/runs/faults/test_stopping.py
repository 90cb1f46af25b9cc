"""The command asked to stop, as a terminal and a batch system do it: real processes, real signals."""

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis import pictures
from runs.cli import app
from tests.fixtures.small_runs import arguments, digests, launched

ROOT = Path(__file__).parents[3]
LONG = ("rounds=25",)  # so that no machine is at the end before the signal comes


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return digests(launched(tmp_path_factory.mktemp("whole") / "run", *LONG))


class Command:
    """The command in a process group of its own, as a shell starts it."""

    def __init__(self, folder, *arguments):
        self.told = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runs.cli", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hear(self, text):
        """Read its messages up to one that holds a text."""
        for line in self._process.stderr:
            self.told += line
            if text in line:
                return
        pytest.fail(f"it ended without a word of {text!r}: {self.told}")

    def send(self, number):
        """Send a signal to the whole group, as Ctrl-C does."""
        os.killpg(self._process.pid, number)

    def end(self):
        """Wait for its end; give the exit status."""
        with self._process:
            self.told += self._process.stderr.read()
        return self._process.returncode


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """Call the command where the run is, but in this process and without pictures at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "KINDS", {})

    def call(*words):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr
        return digests(tmp_path / "run")

    return call


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_all_processes_drains_ray_and_nothing_is_left(
    number, whole, resumed, tmp_path, monkeypatch
):
    place = Path(tempfile.mkdtemp(prefix="p", dir="/tmp"))  # short, as sockets need it
    monkeypatch.setenv("TMPDIR", str(place))
    command = Command(
        tmp_path,
        "launch",
        "smoke",
        *arguments(*LONG),
        "execution.executor=ray",
        "--workers",
        2,
        "--out",
        "run",
    )
    command.hear("round 1/25")
    command.send(number)
    assert command.end() == 3, command.told
    assert list(place.iterdir()) == []
    place.rmdir()
    (line,) = re.findall(
        r"^plasmodia: stopped after round \d+ of 25, as asked; go on with: (.*)$", command.told, re.M
    )
    assert line == "plasmodia resume run"
    assert "Traceback" not in command.told
    assert resumed(*line.split()[1:], "--executor", "inline", "--quiet") == whole


ON_A_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # it is this session's: its end is a signal
from runs.cli import main
main()
"""


@pytest.mark.long
def test_a_terminal_that_is_closed_drains(whole, resumed, tmp_path):
    ours, theirs = pty.openpty()
    words = ("launch", "smoke", *arguments(*LONG), "--out", "run")
    with subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        told = b""
        while not re.search(rb"round [1-9]", told):  # the bar is drawn at times, not at every round
            told += os.read(ours, 65536)
        os.close(ours)
    assert process.returncode == 3
    assert set(digests(tmp_path / "run")) < set(whole)
    assert resumed("resume", "run", "--quiet") == whole


@pytest.mark.long
def test_a_second_signal_does_not_wait(whole, resumed, tmp_path):
    command = Command(tmp_path, "launch", "smoke", *arguments(*LONG), "--out", "run")
    command.hear("round 1/25")
    command.send(signal.SIGTERM)
    command.send(signal.SIGTERM)
    status = command.end()
    # Two of a kind that arrive before the first is handled are one.
    assert status in (130, 3), command.told
    assert "Traceback" not in command.told
    assert resumed("resume", "run", "--quiet") == whole
