"""Connections on which the head of a request must come within some seconds.

Uvicorn closes connections that are idle after an answer, and the application those whose body does not come; a client
that sends its headers byte by byte, or none, would be held for ever.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from runs.serving.http.replies import as_json


class Timed(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, which answers 408 and closes the connection when a head does not come.

    Parameters
    ----------
    timeout
        Seconds from the connection on, or from the first byte of a later request.
    given
        What uvicorn gives its own.
    """

    def __init__(self, *, timeout: float, **given: Any) -> None:
        super().__init__(**given)
        self._timeout = timeout
        self._waiting: asyncio.TimerHandle | None = None
        self._seen: Any = None  # the request whose head came last

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, unless what came ends it or belongs to a request under way."""
        if self._seen is None or self._seen.response_complete:
            self._wait()
        super().data_received(data)
        if self.cycle is not self._seen:
            self._seen = self.cycle
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self._timeout, self._refuse)

    def _end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        sentence = f"the head of a request must have come within {self._timeout:g} s"
        body = as_json({"error": sentence}).encode()
        head = (
            f"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self.transport.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.close()
