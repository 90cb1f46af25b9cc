"""Who may look, and what is answered."""

import http.client
import json
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from runs.machine.sockets import listening
from runs.watching.folder import Watched
from runs.watching.requests import LOOPBACK
from runs.watching.server import MOST, served
from tests.fixtures.pages import parsed


@pytest.fixture
def watched(growing):
    return Watched(growing.place.parent)


@pytest.fixture
def address(watched):
    faults = []
    with listening("127.0.0.1", 0) as bound, served(watched, bound, LOOPBACK, faults.append) as found:
        yield found
    assert faults == []


@contextmanager
def asked(address, path="", method="GET", **headers):
    """An answer, while its connection is open."""
    place = urlsplit(address + path)
    with closing(http.client.HTTPConnection("127.0.0.1", place.port, timeout=60)) as connection:
        target = place.path + (f"?{place.query}" if place.query else "")
        connection.request(method, target, headers=headers)
        yield connection.getresponse()


def get(address, path="", method="GET", **headers):
    with asked(address, path, method, **headers) as answer:
        return answer.status, answer.read().decode()


def told(stream):
    """The next thing that a stream says."""
    while not (line := stream.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line[6:])


def test_pages_are_there_for_who_knows_the_address(address, watched):
    (key,) = watched.runs()
    status, text = get(address)
    assert (status, [text for _, text in parsed(text.encode()).all("h2")]) == (200, ["Comparison", "Runs"])
    status, text = get(address, f"run?key={key}")
    assert (status, parsed(text.encode()).all("h1")) == (200, [({}, "synthetic")])
    status, text = get(address, f"curves?key={key}&key=gone")
    assert [len(each["x"]) for each in json.loads(text)["charts"][0]["series"]] == [2, 0]


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/run?key=x", "//", "/%00/"])
def test_others_are_turned_away_and_told_nothing(path, address, watched):
    place = urlsplit(address)
    status, text = get(f"http://{place.netloc}", path)
    assert (status, text) == (403, "plasmodia watch: open the whole address that `plasmodia watch` printed\n")


def test_a_token_is_not_found_by_parts_of_it(address):
    for wrong in (address[:-2] + "/", address.rstrip("/") + "x/", address.upper().replace("HTTP", "http")):
        assert get(wrong)[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "", "[::2]:80"]
)
def test_a_name_of_another_site_that_leads_here_is_refused(host, address):
    assert get(address, Host=host) == (
        403,
        "plasmodia watch: call the server by localhost or 127.0.0.1 or [::1]\n",
    )
    assert get(address, Host="localhost:1")[0] == 200


def test_what_is_not_there_is_said(address):
    assert get(address, "run?key=none") == (
        404,
        "plasmodia watch: there is no such run any more; go back to the list of runs\n",
    )
    assert get(address, "run")[0] == 404
    for path in ("../../etc/passwd", "page.css", "run/x", "%2e%2e/"):
        assert get(address, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "<b>"])
def test_nothing_can_be_done_but_looked(method, address):
    status, text = get(address, method=method)
    assert status in (400, 501)
    assert "<b>" not in text


def test_no_answer_may_be_framed_kept_guessed_at_or_read_elsewhere(address, watched):
    for path in ("", f"run?key={next(iter(watched.runs()))}", "curves", "none"):
        with asked(address, path) as answer:
            headers = {name.lower(): value for name, value in answer.getheaders()}
        assert headers["content-security-policy"] == "frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["server"] == "plasmodia"
        assert "access-control-allow-origin" not in headers


def test_a_stream_tells_of_what_is_new(address, watched, growing):
    with asked(address, "events") as stream:
        assert [run["round"] for run in told(stream)["runs"]] == [2]
        growing.commit(2)
        watched.look()
        (run,) = told(stream)["runs"]
        assert (run["round"], run["state"], len(run["spark"])) == (4, "running", 4)


def test_a_stream_of_a_run_tells_of_its_state_and_of_its_end(address, watched, growing):
    (key,) = watched.runs()
    with asked(address, f"events?key={key}") as stream:
        assert (first := told(stream))["state"] == "running"
        assert first["page"] == watched.runs()[key].version
        growing.crash()
        watched.look()
        assert told(stream)["state"] == "crashed"
        watched.end()
        assert stream.read().strip() == b""


def test_where_one_run_is_watched_the_address_leads_to_its_page(growing):
    watched = Watched(growing.place)
    with listening("127.0.0.1", 0) as bound, served(watched, bound, None, print) as address:
        with asked(address, Host="any.example") as answer:
            assert (answer.status, answer.getheader("Location")) == (
                303,
                f"run?key={next(iter(watched.runs()))}",
            )
        _, text = get(address, f"run?key={next(iter(watched.runs()))}")
        assert "All runs" not in text


def test_who_takes_all_connections_keeps_nobody_from_the_runs(address, monkeypatch):
    with asked(address, "events") as first:
        told(first)
        held = []
        for _ in range(MOST + 5):
            connection = http.client.HTTPConnection("127.0.0.1", urlsplit(address).port, timeout=60)
            connection.connect()
            held.append(connection)
        for connection in held:
            connection.close()
    assert get(address)[0] == 200


def test_a_fault_of_ours_is_reported_and_the_server_goes_on(watched, monkeypatch):
    faults = []
    with listening("127.0.0.1", 0) as bound, served(watched, bound, None, faults.append) as address:
        monkeypatch.setattr(watched, "runs", lambda: 1 / 0)
        with pytest.raises(http.client.RemoteDisconnected):
            get(address, "curves")
        monkeypatch.undo()
        assert get(address, "curves")[0] == 200
    assert len(faults) == 1
    assert "ZeroDivisionError" in faults[0]
