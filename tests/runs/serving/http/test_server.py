import asyncio
import http.client
import json
import socket
import threading
import urllib.parse

import pytest

from runs.serving.http.server import drained, new_server
from runs.serving.service import STOPPED
from tests.runs.serving.small import symbols

ASKED = {"tokens": [1], "max_new_tokens": 3, "seed": 1}


def connected(at, timeout=60):
    place = urllib.parse.urlsplit(at)
    return http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)


def posted(at, body, path="/infer"):
    connection = connected(at)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def until(true):
    """Wait, without a measure of time, until something has come true."""
    while not true():
        threading.Event().wait(0.001)


def test_clients_at_the_same_time_are_answered_in_one_batch_as_each_alone(listening_server):
    at, _ = listening_server(symbols())
    alone = {seed: posted(at, ASKED | {"seed": seed, "max_new_tokens": 40})[1] for seed in range(4)}
    found = {}

    def ask(seed):
        found[seed] = posted(at, ASKED | {"seed": seed, "max_new_tokens": 40})[1]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, answer in found.items():
        assert answer["generated_tokens"] == alone[seed]["generated_tokens"]


@pytest.mark.parametrize("path", ["/infer", "/stream", "/v1/completions"])
def test_a_client_that_leaves_is_not_computed_for(listening_server, path):
    at, served = listening_server(symbols(256), max_tokens=100_000, max_new_tokens=90_000)
    engine = served.service.engine
    body = (
        {"prompt": "a", "max_tokens": 90_000} if "v1" in path else {"tokens": [1], "max_new_tokens": 90_000}
    )
    connection = connected(at)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    until(lambda: engine.running)
    connection.close()
    until(lambda: not engine.running)
    assert engine.counts.cancelled == 1
    assert posted(at, ASKED)[0] == 200


@pytest.mark.parametrize("path", ["/infer", "/stream", "/v1/completions"])
def test_a_client_that_leaves_while_it_waits_makes_room_at_once(listening_server, path):
    at, served = listening_server(
        symbols(256), max_batch_size=1, max_waiting=1, max_tokens=100_000, max_new_tokens=90_000
    )
    engine, long = served.service.engine, ASKED | {"max_new_tokens": 90_000}
    first, second = connected(at), connected(at)
    first.request("POST", "/stream", json.dumps(long), {"Content-Type": "application/json"})
    until(lambda: engine.running)
    body = {"prompt": "a", "max_tokens": 90_000} if "v1" in path else long
    second.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    until(lambda: len(engine.waiting))
    second.close()
    until(lambda: not len(engine.waiting))
    assert (len(engine.running), engine.counts.requests, engine.counts.cancelled) == (1, 1, 1)
    first.close()
    until(lambda: not engine.running)


def test_a_client_that_never_sends_its_body_is_told_and_hurts_nobody(listening_server):
    at, _ = listening_server(symbols(), body_timeout=0.05)
    slow = connected(at)
    slow.putrequest("POST", "/infer")
    slow.putheader("Content-Type", "application/json")
    slow.putheader("Content-Length", "100")
    slow.endheaders(b'{"tokens')
    assert posted(at, ASKED)[0] == 200
    answer = slow.getresponse()
    assert (answer.status, json.loads(answer.read())) == (
        408,
        {"error": "the body must have come within 0.05 s"},
    )
    slow.close()


def raw_connection(at):
    place = urllib.parse.urlsplit(at)
    return socket.create_connection((place.hostname, place.port), timeout=60)


HEAD = b"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD[:30], HEAD])
def test_a_client_that_never_ends_its_head_is_told_and_hurts_nobody(listening_server, sent):
    at, _ = listening_server(symbols(), body_timeout=0.2)
    with raw_connection(at) as slow:
        slow.sendall(sent)
        assert posted(at, ASKED)[0] == 200
        text = b"".join(iter(lambda: slow.recv(1000), b""))  # until it is closed
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body) == {"error": "the head of a request must have come within 0.2 s"}


def test_a_byte_now_and_then_does_not_put_the_end_off(listening_server):
    at, _ = listening_server(symbols(), body_timeout=0.2)
    with raw_connection(at) as slow:
        slow.sendall(HEAD)
        slow.settimeout(0.02)
        found = b""
        for number in range(3000):
            try:
                slow.sendall(b"x" if number else b"X-Drip: ")
                found = slow.recv(1000)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if found:
                break
    assert number < 2999
    assert found[:12] in (b"HTTP/1.1 408", b"")


def test_the_head_of_a_later_request_must_come_too_and_long_answers_may_last(listening_server):
    at, _ = listening_server(symbols(), body_timeout=0.2, max_tokens=5000, max_new_tokens=4000)
    body = json.dumps(ASKED | {"max_new_tokens": 600}).encode()  # longer than the limit of a head
    with raw_connection(at) as slow:
        slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        whole = http.client.HTTPResponse(slow)
        whole.begin()
        assert len(json.loads(whole.read())["generated_tokens"]) == 600
        slow.sendall(HEAD)
        text = b"".join(iter(lambda: slow.recv(1000), b""))
    assert text.startswith(b"HTTP/1.1 408 ")


def test_what_is_no_http_is_turned_away(listening_server):
    at, _ = listening_server(symbols())
    place = urllib.parse.urlsplit(at)
    with socket.create_connection((place.hostname, place.port)) as raw:
        raw.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert posted(at, ASKED)[0] == 200


def test_a_server_that_is_asked_to_stop_answers_what_is_under_way_and_nothing_new(listening_server):
    at, served = listening_server(symbols(), max_tokens=5000, max_new_tokens=4000)
    found = []
    asking = threading.Thread(target=lambda: found.append(posted(at, ASKED | {"max_new_tokens": 200})))
    asking.start()
    until(lambda: served.service.engine.running)
    served.service.drain()
    assert posted(at, ASKED)[0] == 503
    asking.join()
    ((status, answer),) = found
    assert (status, len(answer["generated_tokens"])) == (200, 200)


class Idle:
    """A service that is idle at some look, or never."""

    def __init__(self, looks):
        self.left, self.is_draining, self.given_up = looks, False, False

    def give_up(self):
        self.left, self.given_up = 0, True

    def drain(self):
        self.is_draining = True

    @property
    def idle(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(
    ("looks", "timeout", "given_up"), [(0, 60.0, False), (2, 60.0, False), (10**9, 0.05, True)]
)
def test_it_stops_when_nothing_is_under_way_and_at_last_in_any_case(looks, timeout, given_up):
    async def run():
        ending, service, asked = new_server(lambda: None, 10.0), Idle(looks), asyncio.Event()
        task = asyncio.ensure_future(drained(ending, service, asked, timeout))
        await asyncio.sleep(0)
        assert not service.is_draining
        asked.set()
        await task
        return ending, service

    ending, service = asyncio.run(run())
    assert service.is_draining
    assert (ending.should_exit, service.given_up) == (True, given_up)


def test_requests_that_are_given_up_are_told_so(listening_server):
    at, served = listening_server(symbols(), max_tokens=100_000, max_new_tokens=90_000)
    found, streamed = [], connected(at)
    asking = threading.Thread(target=lambda: found.append(posted(at, ASKED | {"max_new_tokens": 90_000})))
    asking.start()
    streamed.request(
        "POST",
        "/stream",
        json.dumps(ASKED | {"max_new_tokens": 90_000}),
        {"Content-Type": "application/json"},
    )
    answer = streamed.getresponse()
    until(lambda: len(served.service.engine.running) == 2)
    served.service.give_up()
    asking.join()
    assert found == [(503, {"error": STOPPED})]
    assert answer.read().decode().endswith(f'event: error\ndata: {{"error":"{STOPPED}"}}\n\n')
    until(lambda: served.service.idle)
    assert posted(at, ASKED)[0] == 503
    streamed.close()
