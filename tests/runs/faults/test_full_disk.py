"""A full or failing disk ends a run in one sentence, and when it is mended the run ends as if nothing had been.

By default the operations are taken by a stride; ``pytest --crash-points all`` takes each, in every way.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from runs.resume import resume
from tests.faults.crashes import Scenario, faults, go_on, recovers, refused, start
from tests.fixtures.small_runs import arguments, contents, digests

ROOT = Path(__file__).parents[3]


def test_a_launch_survives_a_bad_disk_at_any_operation(some, folder, unharmed):
    scenario = Scenario(start)
    for fault in some(faults(scenario.operations(folder)), 45):
        refused(scenario, folder, *fault)
        recovers(folder, unharmed)


def test_a_resume_survives_a_bad_disk_at_any_operation(some, folder, unharmed, half_way):
    scenario = Scenario(go_on, half_way)
    for fault in some(faults(scenario.operations(folder)), 25):
        refused(scenario, folder, *fault)
        recovers(folder, unharmed)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a limit to a file's size is another error")
def test_the_command_itself_ends_in_one_sentence_when_the_system_refuses_a_write(undisturbed, tmp_path):
    """No file may grow larger than the journal is after a round or two."""
    run, limit = tmp_path / "run", 100 * 1024
    ended = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "runs.cli",
            "launch",
            "smoke",
            *arguments(),
            "--out",
            str(run),
            "--quiet",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    told = f"plasmodia: {run}/journal.sqlite cannot be written: disk I/O error; the run can be resumed when "
    assert (ended.returncode, ended.stderr) == (1, f"{told}the disk works again\n")
    assert 0 < max(digests(run)) < max(digests(undisturbed))
    resume(run, {})
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
