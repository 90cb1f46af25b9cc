"""The memory of this process, as the system counts it."""

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_PEAK = re.compile(r"^VmHWM:\s+([0-9]+) kB$", re.MULTILINE)


def peak_memory(status: Path = _STATUS) -> int:
    """Return the bytes that this process has had resident at most.

    On Linux they are read from `status`, as ``getrusage`` counts there what the process had before it became another.
    """
    try:
        found = _PEAK.search(status.read_text(encoding="ascii", errors="replace"))
    except OSError:
        found = None
    if found is not None:
        return 1024 * int(found[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
