"""Whether the driver of a run lives, found out without its lock: to try a lock is to hold it for an instant.

In that instant a driver that begins would be turned away, which nobody who only looks at a run may do.
"""

import json
import os
import socket
from pathlib import Path

from archive_store import inside
from archive_store.errors import UNREADABLE, ForeignFileError
from archive_store.lock import LOCK

FINISHED, RUNNING, STOPPED, CRASHED = "finished", "running", "stopped", "crashed"
_MOST = 1000  # bytes of the file
_TOLERANCE = 60.0  # seconds between two clocks of one machine
_PROCESSES = Path("/proc")


def state(finished: bool, driven: bool | None) -> str:
    """Return what a run is in a word: finished, running, stopped, or crashed, where its driver has died."""
    return FINISHED if finished else {True: RUNNING, False: CRASHED, None: STOPPED}[driven]


def is_driven(folder: Path, processes: Path = _PROCESSES) -> bool | None:
    """Return whether the process that locked a run lives; None: nobody has locked it.

    A driver that ends removes its file. One of another machine is taken to live, as nobody can tell from here; so is
    one that has not yet said who it is.

    Parameters
    ----------
    folder
        Of the run.
    processes
        Where the system tells of processes, if it does.
    """
    try:
        data = inside.read(folder, folder / LOCK, _MOST)
        written = inside.look(folder, folder / LOCK, _MOST).st_mtime
    except (OSError, ForeignFileError):
        return None
    try:
        value = json.loads(data)
        host, pid = str(value["host"]), int(value["pid"])
    except UNREADABLE:
        return True
    if host != socket.gethostname():
        return True
    return _lives(pid) and not _is_another(pid, written, processes)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_another(pid: int, written: float, processes: Path) -> bool:
    """Whether a process began after the file was written, so that it has the number of one that died; or is dead."""
    try:
        # The name of the process, in brackets, can hold anything; what follows has no brackets.
        fields = (processes / str(pid) / "stat").read_text().rpartition(")")[2].split()
        lines = (processes / "stat").read_text().splitlines()
        booted = next(float(line.split()[1]) for line in lines if line.startswith("btime "))
        began = booted + float(fields[19]) / os.sysconf("SC_CLK_TCK")
        is_dead = fields[0] in "ZX"  # its parent has not asked after it
    except (OSError, ValueError, IndexError, StopIteration):
        return False
    return is_dead or began > written + _TOLERANCE
