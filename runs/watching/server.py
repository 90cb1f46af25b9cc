"""The server of what is watched: a thread a connection, and one that looks at the runs."""

import os
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from typing import Any

from runs.machine.sockets import url
from runs.watching.folder import Watched
from runs.watching.pages import Pages
from runs.watching.requests import Shown, handler, left

MOST = 100  # connections at once; more are turned away
INTERVAL = 0.5  # seconds between two looks
_BEHIND = 5  # nice value: runs on the machine come first


class Server(ThreadingHTTPServer):
    """A server on a socket that listens already.

    Parameters
    ----------
    bound
        The socket.
    shown
        What is served.
    report
        Called with the trace of an error.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, bound: socket.socket, shown: Shown, report: Callable[[str], None]) -> None:
        self.address_family = bound.family
        super().__init__(bound.getsockname()[:2], handler(shown), bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self._room = threading.BoundedSemaphore(MOST)
        self._report = report

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or not at all where there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for another one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong, unless somebody has only left."""
        if not left(sys.exception()):
            self._report(traceback.format_exc())


@contextmanager
def served(
    watched: Watched, bound: socket.socket, hosts: tuple[str, ...] | None, report: Callable[[str], None]
) -> Iterator[str]:
    """Serve for as long as the context is open; its value is the address to open.

    Parameters
    ----------
    watched
        The runs.
    bound
        A socket that listens.
    hosts
        Names by which the server may be called; None: any.
    report
        Called with the trace of an error.
    """
    token, pages = secrets.token_urlsafe(24), Pages(watched.is_one)
    server = Server(bound, Shown(watched, pages, token, hosts), report)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"{url(bound)}/{token}/"
    finally:
        watched.end()
        server.shutdown()
        thread.join()
        pages.close()


def step_back() -> None:
    """Let runs on the machine go first."""
    with suppress(OSError):
        os.nice(_BEHIND)
