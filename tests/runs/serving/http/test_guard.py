import pytest

from runs.serving.http.guard import LOOPBACK
from runs.serving.service import BROKEN
from tests.runs.serving.small import symbols

TOKEN = "a-token-of-24-characters"
ASKED = {"tokens": [1], "max_new_tokens": 1}


def test_without_the_token_nothing_is_told_but_that_the_server_lives(serving):
    client = serving(symbols(), token=TOKEN)
    for headers in (
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        [(b"Authorization", b"Bearer \xfc")],
    ):
        for path in ("/stats", "/metrics", "/docs", "/openapi.json", "/nowhere"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.json() == {
                "error": "the token is missing or wrong; send it as the header Authorization: Bearer TOKEN"
            }
        assert client.post("/infer", json=ASKED, headers=headers).status_code == 401
    assert client.get("/health").status_code == client.get("/ready").status_code == 200
    for kind in ("Bearer", "bearer"):
        headers = {"Authorization": f"{kind} {TOKEN}"}
        assert client.post("/infer", json=ASKED, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("LOCALHOST", 200),
        ("evil.example", 403),
        ("localhost.evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_on_this_machine_other_names_are_refused(serving, host, status):
    answer = serving(symbols(), hosts=LOOPBACK).get("/stats", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert "must be called by one of the names localhost, 127.0.0.1, [::1]" in answer.json()["error"]


def test_only_json_is_read(serving):
    client = serving(symbols())
    for kind in ("text/plain", "text/json", "application/x-www-form-urlencoded", ""):
        answer = client.post("/infer", content=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, "Content-Type: application/json" in answer.json()["error"]) == (415, True)
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/infer", content=b'{"tokens": [1]}', headers=kind).status_code == 200


def test_a_large_body_is_refused_whether_its_length_is_said_or_not(serving):
    client = serving(symbols(), max_body=100)
    kind = {"Content-Type": "application/json"}
    told = {"error": "the body must be at most 100 bytes"}
    for body in (b" " * 101, iter([b" " * 60, b" " * 60])):
        answer = client.post("/infer", content=body, headers=kind)
        assert (answer.status_code, answer.json()) == (413, told)
    for length in ("9" * 30, "-1", "x"):
        answer = client.post("/infer", content=b"{}", headers=kind | {"Content-Length": length})
        assert answer.status_code == 413


def test_pages_of_other_origins_are_let_in_by_name_alone(serving):
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in serving(symbols()).options("/infer", headers=asked).headers
    client = serving(symbols(), origins=("https://a.example",), token=TOKEN)
    allowed = client.options("/infer", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://a.example")
    other = client.options("/infer", headers=asked | {"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers


def test_no_trace_leaves_the_server(serving, monkeypatch):
    traces = []
    client = serving(symbols(), report=traces.append)

    def broken():
        raise KeyError("a secret of the server")

    monkeypatch.setattr(client.served.metrics, "text", broken)
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()) == (500, {"error": BROKEN})
    assert "a secret of the server" in traces[0]


def test_unknown_paths_and_methods_are_told(serving):
    client = serving(symbols())
    assert client.get("/nowhere").status_code == 404
    assert "there are /docs, /health, /infer" in client.get("/nowhere").json()["error"]
    assert client.get("/infer").json() == {"error": "the path has another method; see /docs"}
    assert client.get("/infer").status_code == 405
