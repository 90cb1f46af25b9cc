"""Who may look, and what a browser is answered: pages, curves, and a stream of what is new."""

import hmac
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runs.watching.folder import Watched
from runs.watching.followed import Seen
from runs.watching.pages import Pages, curves_of, told

PING = 15.0  # seconds after which a stream says that it lives, and finds out whether anybody listens
SPARK = 40  # points of the small curve in a list
MOST_COMPARED = 100  # runs
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
GONE = "gone"
_HTML, _JSON, _TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
# What a page may do is said in itself; none may be framed, guessed at, kept, or read by a page of another origin.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is served, and to whom."""

    watched: Watched
    pages: Pages
    token: str  # that begins every path
    hosts: tuple[str, ...] | None  # names by which the server may be called; None: any


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; nothing can be changed by it.

    A page of another site could reach the server through a name of its own that leads here (DNS rebinding), so that it
    must be called by its own; and other users of the machine do not know the token.
    """

    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds for a request to come
    shown: Shown  # of the class that `handler` makes

    def do_GET(self) -> None:
        """Answer a request."""
        address = urlsplit(self.path)
        _, token, *rest = [*address.path.split("/"), ""]
        if self.shown.hosts is not None and self._host() not in self.shown.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, f"call the server by {' or '.join(self.shown.hosts)}")
        elif not hmac.compare_digest(token.encode("utf-8", "replace"), self.shown.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the whole address that `plasmodia watch` printed")
        else:
            answer = _ANSWERS.get("/".join(rest).rstrip("/") if rest != [""] else None)
            if answer is None:
                self._refuse(
                    HTTPStatus.NOT_FOUND, "there is no such page; begin with the address that was printed"
                )
            else:
                answer(self, parse_qs(address.query).get("key", []))

    def front(self, keys: list[str]) -> None:
        """Answer with the list of runs, or lead to the page of the only one."""
        if self.shown.watched.is_one and (runs := self.shown.watched.runs()):
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", f"run?key={next(iter(runs))}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        from analysis.live.listing import page_of_runs

        self._send(page_of_runs(str(self.shown.watched.place)), _HTML)

    def run(self, keys: list[str]) -> None:
        """Answer with the page of a run."""
        seen = self._seen(keys)
        path = None if seen is None else self.shown.watched.path(seen.key)
        if seen is None or path is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such run any more; go back to the list of runs")
        else:
            self._send(self.shown.pages.page(seen, path), _HTML)

    def curves(self, keys: list[str]) -> None:
        """Answer with the charts in which runs are compared, in the order of their keys."""
        runs = self.shown.watched.runs()
        wanted = [runs.get(key) or Seen(key, "a run that is gone", GONE) for key in keys[:MOST_COMPARED]]
        self._send(_written({"charts": curves_of(wanted)}), _JSON)

    def events(self, keys: list[str]) -> None:
        """Send what is new until the browser leaves: of a run, or of all."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        watched, pages = self.shown.watched, self.shown.pages
        version, said = -1, b""
        while not watched.ended:
            now = _written(self._news(keys))
            self.wfile.write(b"data: " + now + b"\n\n" if now != said else b": here\n\n")
            said = now
            # Of a run whose next page has to wait, it is told when it can be asked for.
            version = watched.wait(version, min(PING, pages.rest() or PING) if keys else PING)

    def _news(self, keys: list[str]) -> Mapping[str, Any]:
        if not keys:
            return {"runs": [_listed(each) for each in self.shown.watched.runs().values()]}
        seen = self._seen(keys) or Seen(keys[0], "a run that is gone", GONE)
        return told(seen, self.shown.pages.newest(seen))

    def _seen(self, keys: list[str]) -> Seen | None:
        return self.shown.watched.runs().get(keys[0]) if keys else None

    def _host(self) -> str:
        host = self.headers.get("Host", "").lower()
        return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]

    def _send(self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send(f"plasmodia watch: {sentence}\n".encode(), _TEXT, status)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request that is known here: in a sentence, and nothing of the request in it.

        Parameters
        ----------
        code
            Status of the answer.
        message, explain
            Not told, as they can quote the request.
        """
        self.close_connection = True
        self._refuse(HTTPStatus(code), f"{HTTPStatus(code).phrase.lower()}; pages are asked for by GET")

    def end_headers(self) -> None:
        """Add what all answers have in common."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Return what the server calls itself."""
        return "plasmodia"

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: who watches wants to see runs."""


_ANSWERS: Mapping[str | None, Callable[[Handler, list[str]], None]] = {
    "": Handler.front,
    "run": Handler.run,
    "curves": Handler.curves,
    "events": Handler.events,
}


def handler(shown: Shown) -> type[Handler]:
    """Return the class of a server's connections."""
    return type("Bound", (Handler,), {"shown": shown})


def left(error: BaseException | None) -> bool:
    """Whether an error is that the other side has left or was too slow."""
    return isinstance(error, (ConnectionError, TimeoutError, socket.timeout))


def _listed(seen: Seen) -> Mapping[str, Any]:
    values = seen.curves["qd_score"]
    step = max(1, -(-len(values) // SPARK))
    return {**told(seen, seen.version), "spark": [*values[::-step]][::-1]}


def _written(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
