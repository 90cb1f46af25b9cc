"""What a request passes before it is looked at: host, token, kind and size; and no trace of an error leaves."""

import hmac
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from runs.serving.generation import Refused
from runs.serving.http.replies import refusal
from runs.serving.service import BROKEN

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/health", "/ready")  # to who has no token: they say nothing of the model
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Guard:
    """An ASGI application around another one.

    Parameters
    ----------
    inner
        Who answers what is let through.
    token
        What a client must show as ``Authorization: Bearer``; None: nothing.
    hosts
        Names by which the server may be called, without ports; None: any. On a loopback address a page of the web could
        else reach it through a name of its own that points there (DNS rebinding).
    max_body
        Bytes of a request.
    report
        Called with the trace of an error.
    count
        Called with path and status of every answer.
    """

    def __init__(
        self,
        inner: Application,
        *,
        token: str | None,
        hosts: tuple[str, ...] | None,
        max_body: int,
        report: Callable[[str], None],
        count: Callable[[str, int], None],
    ) -> None:
        self._inner, self._hosts, self._max_body = inner, hosts, max_body
        self._token = None if token is None else token.encode()
        self._report, self._count = report, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it; other protocols than HTTP are not spoken."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        if scope["type"] != "http":
            return
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope["path"], status)
            await send(message)

        try:
            self._check(scope)
            await self._inner(scope, receive, counted)
        except Refused as error:
            await refusal(error)(scope, receive, counted)
        except Exception:
            self._report(traceback.format_exc())
            if not status:
                await refusal(Refused(500, BROKEN))(scope, receive, counted)

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), value)
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and _without_port(host) not in self._hosts:
            raise Refused(
                403, f"the server must be called by one of the names {', '.join(self._hosts)}, not by another"
            )
        if self._token is not None and scope["path"] not in OPEN:
            kind, _, shown = headers.get(b"authorization", b"").partition(b" ")
            if not (hmac.compare_digest(shown.strip(), self._token) and kind.lower() == b"bearer"):
                raise Refused(
                    401, "the token is missing or wrong; send it as the header Authorization: Bearer TOKEN"
                )
        if scope["method"] != "POST":
            return
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":  # which no page of another origin can send unasked
            raise Refused(415, "the body must be JSON with the header Content-Type: application/json")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._max_body:
            raise Refused(413, f"the body must be at most {self._max_body} bytes")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
