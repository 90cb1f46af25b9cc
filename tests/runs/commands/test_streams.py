"""Commands whose standard streams, working directory or names are odd: real processes and real descriptors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archive_store.reading import open_run
from tests.fixtures.small_runs import arguments, copied, digests
from tests.fixtures.synthetic_run import write_run

ROOT = Path(__file__).parents[3]
TASK = """
import ctypes, os, subprocess
os.chdir("/")
from runs.tasks.toys import xor

def task(options, corpus):
    print("of Python")
    ctypes.CDLL(None).puts(b"of C")
    subprocess.run(["echo", "of a child"], check=True)
    return xor(options, corpus)
"""
# Opens a file with one standard stream closed: its number must not be that stream's.
CLOSED = """
import os, sys
from runs.commands import streams
streams.prepare()
streams.say("data")
streams.warn("a message")
sys.exit(os.open(os.devnull, os.O_RDWR) < 3)
"""


def process(folder, *words, redirection="", **options):
    """Run the command through a shell; its streams can be redirected as by one."""
    line = f'exec "$0" -P -c "from runs.cli import main; main()" "$@" {redirection}'
    known = {"PYTHONPATH": str(ROOT), "MPLBACKEND": "unknown"}
    return subprocess.run(
        ["sh", "-c", line, sys.executable, *map(str, words)],
        cwd=folder,
        env=os.environ | known,
        check=False,
        **{"capture_output": True, **options},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", rounds=2)


@pytest.mark.long
def test_what_code_of_ones_own_does_to_streams_and_folders_costs_nothing(tmp_path):
    """It prints in every way and changes the directory; the run's name is relative, has a space and is no UTF-8."""
    name = os.fsdecode(b"my run\xff")
    (tmp_path / "own.py").write_text(TASK)
    overrides = arguments("task.name=own:task", "task.examples=null", "rounds=2")
    done = process(tmp_path, "launch", "smoke", *overrides, "--json", "--quiet", "--out", name)
    assert done.returncode == 0, done.stderr
    plots = json.loads(done.stdout)["plots"]
    assert {b"of Python", b"of C", b"of a child"} <= set(done.stderr.splitlines())
    assert plots[0].startswith("my run")
    assert all(os.path.exists(os.path.join(tmp_path, path)) for path in plots)
    shown = process(tmp_path, "show", name, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[0].split(maxsplit=1)[1] == "my run\\udcff"
    drawn = process(tmp_path, "plot", name, "--kind", "progress")
    assert drawn.stdout == b"my run\xff/plots/progress.png\n"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_file_takes_the_place_of_a_stream_that_was_closed(number):
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {number}>&-', sys.executable, CLOSED],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if number == 1 else "data\n")
    assert done.stderr == ("" if number == 2 else "plasmodia: a message\n")


@pytest.mark.long
def test_a_launch_without_stderr_ends_as_any_other(undisturbed, tmp_path):
    done = process(tmp_path, "launch", "smoke", *arguments(), "--out", "new", redirection="2>&-", text=True)
    assert done.returncode == 0
    assert digests(tmp_path / "new") == digests(undisturbed)
    assert done.stdout.startswith("run ")


@pytest.mark.parametrize(("damaged", "status"), [(False, 0), (True, 1)])
def test_a_reader_that_has_left_does_not_change_the_status(damaged, status, run, tmp_path):
    run = copied(run, tmp_path)
    if damaged:
        (run / "config.yaml").write_text("seed: 1\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = process(tmp_path, "verify", run, stdout=writer, stderr=subprocess.PIPE, capture_output=False)
    os.close(writer)
    assert (done.returncode, b"damaged in 1" in done.stderr) == (status, damaged)
    assert b"BrokenPipe" not in done.stderr


def test_a_working_directory_that_is_gone_is_named(run, tmp_path):
    gone = tmp_path / "gone"
    line = f'rmdir "{gone}"; exec "$0" -P -c "from runs.cli import main; main()" "$@"'
    told = "plasmodia: the working directory was removed; change to one that is there\n"
    for words, status, stderr in ((("launch", "smoke"), 2, told), (("show", run), 0, "")):
        gone.mkdir()
        done = subprocess.run(
            ["sh", "-c", line, sys.executable, *map(str, words)],
            cwd=gone,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (status, stderr), words


@pytest.mark.long
def test_a_picture_can_be_drawn_elsewhere(run, tmp_path):
    assert open_run(run).measures
    done = process(tmp_path, "plot", run, "--kind", "progress", "--to", "pictures", text=True)
    assert (done.stdout, done.stderr) == ("pictures/progress.png\n", "")
    (tmp_path / "file").touch()
    done = process(tmp_path, "plot", run, "--kind", "progress", "--to", "file/below", text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("plasmodia: pictures cannot be written: [Errno 20] Not a directory")
    assert done.stderr.endswith(f"draw them elsewhere: plasmodia plot {run} --to DIR\n")
