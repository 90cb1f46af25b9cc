"""The server: its socket, its loop, and its end, at which requests under way are still answered."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from runs.serving.http.connections import Timed
from runs.serving.http.guard import Application
from runs.serving.service import Service

_POLL = 0.02  # seconds between looks at whether all requests have ended


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
