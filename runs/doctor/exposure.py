"""Checks of what others can reach or change: the sockets of a local Ray, run directories, temporary files, source."""

import os
import stat
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from runs.doctor import listeners
from runs.doctor.check import Check
from runs.doctor.listeners import Listener

_NAMED = 3  # examples in a detail


def ray() -> list[Check]:
    """Start Ray with one trainer as a run does, look at its sockets, and stop it."""
    from runs.config.reader import load
    from runs.prepared import prepare
    from runs.workers import ray_cluster
    from runs.workers.start import pool_of

    prepared = prepare(load("smoke", ["execution.executor=ray", "execution.workers=1"]))
    with pool_of(prepared):
        has_token = ray_cluster.wants_token()
        found = listeners.listeners(os.getpid()) if listeners.is_known() else None
    started = Check("ray", "ok", "a trainer started and computes as this process does")
    return [started, listening(found, has_token), authentication(has_token)]


def listening(found: Sequence[Listener] | None, has_token: bool) -> Check:
    """Judge what a local Ray listens on; None stands for a system without /proc/net/tcp."""
    if found is None:
        return Check("listeners", "warn", "this system has no /proc/net/tcp: look yourself, during a run")
    reachable = [listener for listener in found if listener.is_reachable]
    if not reachable:
        return Check("listeners", "ok", f"{len(found)} of a local Ray, all on the loopback interface")
    said = f"a local Ray can be reached from other machines ({_some(reachable)})"
    if has_token:
        return Check("listeners", "warn", f"{said}; it wants a token, but a firewall should close its ports")
    return Check(
        "listeners", "fail", f"{said} and wants no token: who connects runs code here; use a newer Ray"
    )


def authentication(has_token: bool) -> Check:
    """Judge whether a local Ray requires a token."""
    if has_token:
        return Check("authentication", "ok", "token, a new one for each local Ray")
    return Check(
        "authentication", "warn", "none: other users of this machine run code in a local Ray; use a newer one"
    )


def run_directories(folder: Path) -> Check:
    """Warn where others can change runs."""
    if _is_open(folder):
        return Check(
            "run directories", "warn", f"others can write to {folder} and change runs: chmod o-w {folder}"
        )
    return Check("run directories", "ok", f"others cannot write to {folder}")


def temporary_directory(folder: Path) -> Check:
    """Check that temporary files can be made, and that others cannot replace them."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"plasmodia")
    if _is_open(folder) and not folder.stat().st_mode & stat.S_ISVTX:
        return Check(
            "temporary directory", "fail", f"others can replace files in {folder}: chmod +t {folder}"
        )
    return Check("temporary directory", "ok", f"{folder} is writable; others cannot replace what is in it")


def source(places: Iterable[Path]) -> Check:
    """Check that others cannot change the code that runs here."""
    paths = [path for place in places for path in (place.parent, place, *place.rglob("*"))]
    changeable = sorted({path for path in paths if _is_open(path)})
    if changeable:
        return Check(
            "source", "fail", f"others can change the code of runs ({_some(changeable)}): chmod -R o-w it"
        )
    return Check("source", "ok", "others cannot change the code of the six packages")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & stat.S_IWOTH)


def _some(things: Sequence[object]) -> str:
    more = [f"{len(things) - _NAMED} more"] if len(things) > _NAMED else []
    return "; ".join([*map(str, things[:_NAMED]), *more])
