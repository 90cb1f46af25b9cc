"""The command `plasmodia watch`, as it is typed."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runs.cli import app
from runs.machine.sockets import listening
from tests.fixtures.synthetic_run import write_run

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("watch") / "out" / "run", organisms=1, rounds=2, cells=8)


def refused(*words):
    """Call the command; give the one sentence that it says."""
    done = CliRunner().invoke(app, ["watch", *map(str, words)])
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    (line,) = done.stderr.splitlines()
    return line.removeprefix("plasmodia: ")


@contextmanager
def watching(*words):
    """The command as a process of its own, and the address that it printed."""
    command = [sys.executable, "-m", "runs.cli", "watch", *map(str, words), "--port", "0"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "there is no folder nowhere; give one that holds runs, or the folder of a run"),
        (
            ["empty"],
            "there is no run in empty; make one, such as with: plasmodia launch smoke --out empty/smoke",
        ),
        ([], "there is no folder out; give one that holds runs"),
        (["other"], "has format 9, this version reads 1; use the version that wrote it"),
        (["empty", "--port", "many"], "--port must be auto or a whole number from 0 to 65535, not many"),
        (
            ["empty", "--host", "a host"],
            "--host a host is no name or address; 127.0.0.1 is this machine alone",
        ),
        (["file"], "there is no folder file"),
    ],
)
def test_what_cannot_be_watched_is_told_in_one_sentence(words, told, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("file").touch()
    shutil.copytree(run, "other")
    with sqlite3.connect("other/journal.sqlite") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    assert told in refused(*words)


def test_a_taken_port_is_told_with_one_that_is_free(run):
    with listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        told = refused(run, "--port", port)
    assert re.fullmatch(
        rf"port {port} of 127\.0\.0\.1 is taken; \d+ is free: give --port \d+, or --port auto", told
    )


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_answers_and_ends_when_asked(number, run):
    with watching(run.parent) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"Runs of Plasmodia" in answer.read()
        process.send_signal(number)
        rest, messages = process.communicate(timeout=60)
    assert (process.returncode, rest, messages) == (0, "", f"plasmodia: stopped watching {run.parent}\n")


@pytest.mark.long
def test_beyond_the_machine_it_says_what_that_means(run):
    with watching(run, "--host", "0.0.0.0") as (process, address):
        assert address.startswith("http://0.0.0.0:")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=60)
    assert messages.splitlines()[0] == (
        "plasmodia: what goes over the network to 0.0.0.0 is not encrypted; who knows the address can read it"
    )
