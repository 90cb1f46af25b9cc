import resource
import subprocess
import sys

import pytest

from runs.machine.memory import peak_memory

ROOM = 64 * 2**20


def test_it_is_what_the_system_counts():
    by_rusage = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak_memory() == pytest.approx(by_rusage, rel=0.05)


def test_it_rises_by_what_is_written_to_and_does_not_fall():
    code = (
        "from runs.machine.memory import peak_memory as peak\n"
        f"before = peak(); room = bytearray(b'x') * {ROOM}; held = peak(); del room\n"
        "print(held - before, peak() - held)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rise, after = map(int, done.stdout.split())
    assert rise >= 0.9 * ROOM
    assert after > -0.1 * ROOM  # the system counts some pages late


def test_where_the_system_has_no_such_file_another_count_is_taken(tmp_path):
    by_rusage = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak_memory(tmp_path / "missing") == pytest.approx(by_rusage, rel=0.05)
    (tmp_path / "status").write_text("VmRSS: 12 kB\n")
    assert peak_memory(tmp_path / "status") == pytest.approx(by_rusage, rel=0.05)
    (tmp_path / "status").write_text("Name: x\nVmHWM:\t      12 kB\n")
    assert peak_memory(tmp_path / "status") == 12 * 1024
