"""The server: its socket, its loop, and its end, at which requests under way are still answered."""

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from runs.errors import ConfigError
from runs.serving.http.connections import Timed
from runs.serving.http.guard import Application
from runs.serving.service import Service

FIRST, TRIES = 8080, 1000  # ports of auto
_POLL = 0.02  # seconds between looks at whether all requests have ended


def listening(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    host
        Name or address of this machine.
    port
        0: any free one; None: the first free one from 8080 on.

    Raises
    ------
    ConfigError
        If the port is taken or may not be used, or the host is none of this machine.
    """
    family, address = _address(host)
    wanted = range(FIRST, FIRST + TRIES) if port is None else (port,)
    for each in wanted:
        try:
            return _listening(family, address, each)
        except PermissionError:
            raise ConfigError(f"port {each} may not be used by this user; choose one from 1024 on") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"--host {host} is no address of this machine: {error.strerror}") from None
    if port is None:
        raise ConfigError(
            f"ports {FIRST} to {FIRST + TRIES - 1} of {host} are all taken; name another by --port"
        )
    raise ConfigError(f"port {port} of {host} is taken{_free(family, address, port)}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine to itself alone.

    Raises
    ------
    ConfigError
        If it is no name or address.
    """
    return ipaddress.ip_address(_address(host)[1]).is_loopback


def url(bound: socket.socket) -> str:
    """Return where a socket listens, as a URL."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _address(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise ConfigError(f"--host {host} is no name or address; 127.0.0.1 is this machine alone") from None
    return family, str(address[0])


def _listening(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(1024)
    except BaseException:
        bound.close()
        raise
    return bound


def _free(family: socket.AddressFamily, address: str, port: int) -> str:
    for each in range(port + 1, min(port + 50, 65536)):
        try:
            _listening(family, address, each).close()
        except OSError:
            continue
        return f"; {each} is free: give --port {each}, or --port auto"
    return "; give --port auto"


class Server(uvicorn.Server):
    """Uvicorn without its own handling of signals, which would turn clients away before they are answered."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


def serve(
    app: Application,
    service: Service,
    bound: socket.socket,
    drain_timeout: float,
    tell: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; then requests under way end, new ones are refused (503), a second signal ends all.

    Parameters
    ----------
    app
        Who answers.
    service
        Whose thread is started, and has ended afterwards.
    bound
        Listens already.
    drain_timeout
        Seconds that requests under way are given.
    tell
        Called with what is to be said.
    """
    asyncio.run(_serve(app, service, bound, drain_timeout, tell))


async def _serve(
    app: Application,
    service: Service,
    bound: socket.socket,
    drain_timeout: float,
    tell: Callable[[str], None],
) -> None:
    server = new_server(app, service.engine.limits.body_timeout)
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            service.give_up()
        else:
            tell("stopping when the requests under way are answered; once more to stop now")
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    service.start()
    ending = asyncio.ensure_future(drained(server, service, asked, drain_timeout))
    try:
        await server.serve(sockets=[bound])
    finally:
        ending.cancel()
        service.stop()


def new_server(app: Application, head_timeout: float) -> Server:
    """Return a server of an application, which tells of errors itself: the server's own log is silent.

    Parameters
    ----------
    app
        Who answers.
    head_timeout
        Seconds in which the head of a request must have come.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        http=partial(Timed, timeout=head_timeout),  # type: ignore[arg-type] # called as the class would be
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    return Server(config)


async def drained(server: Server, service: Service, asked: asyncio.Event, timeout: float) -> None:
    """Wait until the server is asked to stop, let requests under way end, and let it stop.

    Parameters
    ----------
    server, service
        Who takes on no more requests, and stops when none is left.
    asked
        Is set when it is to stop.
    timeout
        Seconds that requests under way are given; then each is told that it was given up.
    """
    await asked.wait()
    service.drain()
    try:
        async with asyncio.timeout(timeout):
            await _until_idle(service)
    except TimeoutError:
        service.give_up()
        await _until_idle(service)
    server.should_exit = True


async def _until_idle(service: Service) -> None:
    while not service.idle:
        await asyncio.sleep(_POLL)
