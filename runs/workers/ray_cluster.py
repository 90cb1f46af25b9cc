"""Joining a Ray cluster, or starting one on this machine that nobody else can use.

Whoever reaches a Ray cluster's ports can run code in it. One of our own therefore listens on the loopback interface
alone, requires a token that its processes inherit and no file holds, and keeps its sockets, logs and spilled objects in
a directory that only this user can enter. One that is joined is used as its owner set it up, with the user's own token.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import (  # type: ignore[attr-defined] # its stub lacks them
    AuthenticationMode,
    AuthenticationTokenLoader,
    Config,
    get_authentication_mode,
)
from ray.exceptions import RayError
from ray.job_config import JobConfig

from runs.errors import RunError
from runs.machine import settings
from runs.machine.scratch import PREFIX, scratch
from runs.machine.source_digest import sources

ANSWER_SECONDS = 5.0  # for a cluster's address to answer
# How an HTTP/2 connection, and so one to Ray, begins on both sides (RFC 9113, 3.4): with a SETTINGS frame.
_FRAME_HEADER, _SETTINGS = 9, b"\x04"  # bytes; the type of a frame, its fourth byte
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + _SETTINGS + b"\x00" * 5
_TOKEN_BYTES = 32
_HELD_BACK = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
_OWNER_ONLY = 0o077  # a umask
# What comes after the place of temporary files in the longest path of a socket, and how long that may be.
_SOCKET = f"/{PREFIX}12345678/ray/session_2026-01-31_23-59-59_999999_4194304/sockets/plasma_store"
_LONGEST_SOCKET = 103  # bytes, on macOS; 107 on Linux


def connect(address: str, workers: int, modules: Sequence[str]) -> contextlib.ExitStack:
    """Join or start a cluster.

    Parameters
    ----------
    address
        ``local`` starts a cluster of our own; ``auto``, ``ray://host:port`` or ``host:port`` join one.
    workers
        Number of CPUs that a cluster of our own has.
    modules
        Modules of the user's import paths, shipped to a cluster that is joined with the six packages.

    Returns
    -------
    ExitStack
        Its `close` leaves the cluster, ends it if it is our own, and removes what was written for it.

    Raises
    ------
    RunError
        If no cluster answers there or none can be started, or this process is connected to one already.
    """
    if ray.is_initialized():
        raise RunError("this process is connected to a Ray cluster already; call ray.shutdown() first")
    is_ours = address == "local"
    if not is_ours:
        _check_answers(address)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(_private_directory())
        options = _own(workers, directory) if is_ours else _joined(modules, directory)
        stack.callback(_read_authentication)
        stack.callback(ray.shutdown)  # also of what was started when the rest fails
        try:
            with _own_signals(), _sealed() if is_ours else contextlib.nullcontext():
                _read_authentication()
                ray.init(
                    address=address,
                    namespace=f"plasmodia-{os.getpid()}",
                    logging_level="ERROR",
                    log_to_driver=False,
                    configure_logging=False,
                    **options,
                )
                if is_ours:
                    _end_without_signals()
        except Exception as error:  # whatever Ray raises, and where memory is short that is anything
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            remedy = "look for free memory and processes here, or use --executor inline"
            raise RunError(
                f"no Ray cluster at address {address!r} ({first}); "
                + (remedy if is_ours else "start one or use --address local")
            ) from error
        return stack.pop_all()


def wants_token() -> bool:
    """Return whether the cluster of this process requires a token."""
    return get_authentication_mode() == AuthenticationMode.TOKEN


def _own(workers: int, directory: Path) -> dict[str, Any]:
    """Return the options of a cluster whose workers find modules where this process does, our own packages first."""
    packages = directory / "packages"
    packages.mkdir()
    for source in sources():
        (packages / source.name).symlink_to(source)
    path = os.pathsep.join([str(packages), *(place or os.getcwd() for place in sys.path)])
    return {
        "num_cpus": workers,
        "include_dashboard": False,
        "_temp_dir": str(directory / "ray"),
        "runtime_env": {"env_vars": {**settings.VARIABLES, "PYTHONPATH": path}},
        "job_config": _Job(),
    }


class _Job(JobConfig):
    """A job whose workers look for modules in no other place: Ray would have them look in its driver's folder first."""

    _py_driver_sys_path = property(lambda self: [], lambda self, places: None)


def _joined(modules: Sequence[str], directory: Path) -> dict[str, Any]:
    _pack(modules, directory)
    return {"runtime_env": {"env_vars": dict(settings.VARIABLES), "working_dir": str(directory)}}


def _private_directory() -> contextlib.AbstractContextManager[Path]:
    """Make a directory that only this user can enter: Ray opens its own to everybody (mode 777), and they lie below."""
    places = [tempfile.gettempdir(), "/tmp"]
    short = [place for place in places if len(os.fsencode(place) + _SOCKET.encode()) <= _LONGEST_SOCKET]
    return scratch((short or places)[0])


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, and the requests to stop from the processes that are started meanwhile.

    Ray sets a handler of its own, which exits without a message. A terminal and a batch system send their signals to
    all processes, and Ray's would be gone before the driver has drained: it would even wait a minute for a dead server
    and then be ended by it. They inherit that these are held back, as Ray does itself with SIGINT.
    """
    before = signal.getsignal(signal.SIGTERM)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _end_without_signals() -> None:
    """End the servers of this process's own cluster by other means than a signal that they do not hear.

    `ray.shutdown` disconnects from them and then sends each a SIGTERM and waits a second before it kills it. Instead,
    the raylet is asked by the other server to go, as it ends its workers then, and the rest is killed at once.
    """
    node, worker = ray._private.worker._global_node, ray._private.worker.global_worker
    servers, identity, kill_all = worker.gcs_client, worker.current_node_id.binary(), node.kill_all_processes

    def kill_all_processes(**options: bool) -> None:
        [raylet] = node.all_processes[ray_constants.PROCESS_TYPE_RAYLET]
        with contextlib.suppress(RayError, subprocess.TimeoutExpired):
            if raylet.process.poll() is None:
                servers.drain_nodes([identity], ANSWER_SECONDS)
                raylet.process.wait(ANSWER_SECONDS)
        kill_all(**{**options, "allow_graceful": False})

    node.kill_all_processes = kill_all_processes


@contextlib.contextmanager
def _sealed() -> Iterator[None]:
    """Make the processes started meanwhile require a new token, listen on loopback and create private files."""
    with contextlib.ExitStack() as undo:
        undo.callback(os.umask, os.umask(_OWNER_ONLY))
        # Ray's switch for systems on which it keeps to one machine: there it listens on loopback.
        undo.callback(setattr, ray_constants, "ENABLE_RAY_CLUSTER", ray_constants.ENABLE_RAY_CLUSTER)
        ray_constants.ENABLE_RAY_CLUSTER = False
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(_TOKEN_BYTES)}
        undo.callback(_restore, {name: os.environ.get(name) for name in token})
        os.environ.update(token)
        yield


def _read_authentication() -> None:
    """Make Ray read mode and token again: it caches those of the first cluster of this process."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _check_answers(address: str) -> None:
    """Ask for a first frame, because Ray itself waits minutes for an address that stays silent."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
        if address in ("", "auto", "local"):
            return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(_FRAME_HEADER)
    except (OSError, ValueError) as error:
        raise RunError(
            f"no Ray cluster answers at address {address!r} ({error}); start one or use --address local"
        ) from error
    encrypted = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
    if answer[3:4] != _SETTINGS and not encrypted:
        raise RunError(
            f"what answers at address {address!r} is no Ray cluster; start one or use --address local"
        )


def _pack(modules: Sequence[str], folder: Path) -> None:
    """Copy the source of the six packages and of the user's modules to a folder that Ray ships."""
    for source in sources(modules):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / source.name)
