import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runs.models.signature import Signature
from runs.serving.generation import Refused
from runs.serving.http.served import why_not_continued
from tests.runs.serving.small import classes, numbers, symbols


def test_metrics_are_those_of_this_server_in_prometheus_format(serving):
    client = serving(symbols())
    client.post("/infer", json={"tokens": [1, 2, 3], "max_new_tokens": 4})
    client.post("/infer", json={"tokens": [99]})
    client.get("/a/path/of/a/stranger")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert found["plasmodia_requests_total",] == 1
    assert found["plasmodia_new_tokens_total",] == 4
    assert found["plasmodia_prompt_tokens_total",] == 3
    assert found["plasmodia_cache_tokens",] == 6
    assert found["plasmodia_http_answers_total", "/infer", "200"] == 1
    assert found["plasmodia_http_answers_total", "/infer", "422"] == 1
    assert found["plasmodia_http_answers_total", "404", "other"] == 1
    assert found["plasmodia_time_to_first_token_seconds_count",] == 1
    assert {found["plasmodia_slo_budget_remaining", f"latency_p{share}"] for share in (95, 99)} == {1.0}
    stats = client.get("/stats").json()
    assert 0 < stats["latency_seconds"]["p50"] == stats["latency_seconds"]["p99"]
    assert stats["slo_budget_remaining"] == {"latency_p95": 1.0, "latency_p99": 1.0}
    fresh = serving(symbols()).get("/metrics").text
    assert "plasmodia_requests_total 0.0" in fresh  # no registry is shared


@pytest.mark.parametrize("signature", [symbols(), classes()])
def test_the_page_of_what_there_is_loads_nothing_from_elsewhere(serving, signature):
    client = serving(signature, "transformer")
    page = client.get("/docs").text
    assert re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"' >]+)", page) == ["openapi.json"]
    assert "<script" not in page
    assert "@import" not in page
    for path in ("/infer", "/stream", "/predict", "/v1/completions", "/stats", "/metrics"):
        assert path in page
    described = client.get("/openapi.json").json()["paths"]["/infer"]["post"]["requestBody"]
    schema = described["content"]["application/json"]["schema"]
    assert {"tokens", "max_new_tokens", "seed"} <= set(schema["properties"])
    assert client.get("/redoc").status_code == 404


def test_the_example_of_the_page_is_answered(serving):
    for signature in (symbols(256), numbers()):
        client = serving(signature)
        body = client.get("/openapi.json").json()["paths"]["/infer"]["post"]["requestBody"]
        example = body["content"]["application/json"]["example"]
        assert client.post("/infer", json=example).status_code == 200


def test_while_it_drains_a_server_lives_and_takes_nothing_on(serving):
    client = serving(symbols())
    assert client.get("/ready").json() == {"ready": True}
    client.served.service.drain()
    assert (client.get("/ready").status_code, client.get("/health").status_code) == (503, 200)
    answer = client.post("/infer", json={"tokens": [1]})
    assert (answer.status_code, "is being stopped" in answer.json()["error"]) == (503, True)
    assert client.post("/stream", json={"tokens": [1]}).status_code == 503
    assert client.get("/stats").json()["draining"] is True


def test_a_full_queue_says_when_to_come_back(serving, monkeypatch):
    client = serving(symbols())

    def full(asked, listener):
        raise Refused(429, "256 requests are waiting already; come back later", retry_after=1)

    monkeypatch.setattr(type(client.served.service), "submit", lambda service, *given: full(*given))
    answer = client.post("/infer", json={"tokens": [1]})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_a_late_answer_is_a_timeout(serving):
    client = serving(symbols(), timeout=1e-9)
    answer = client.post("/infer", json={"tokens": [1]})
    assert (answer.status_code, "not answered within 1e-09 s" in answer.json()["error"]) == (504, True)
    answer = client.post("/predict", json={"inputs": [[1]]})
    assert (answer.status_code, "not read within 1e-09 s" in answer.json()["error"]) == (504, True)


def test_an_engine_that_has_ended_is_not_healthy(serving):
    client = serving(symbols())
    client.served.service.stop()
    assert client.get("/health").status_code == client.get("/ready").status_code == 503


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "class"}, r"it answers examples as a whole \(kind class\)"),
        ({"causal": False}, "its tokens see later ones"),
        ({"kind": "token"}, "it reads continuous tokens and answers others"),
        ({"outputs": 2}, "it reads tokens of 3 numbers or symbols and answers 2"),
        ({}, None),
    ],
)
def test_which_models_say_what_comes_next(given, told):
    shape = {"kind": "sequence", "tokens": "continuous", "features": 3, "outputs": 3, "causal": True}
    reason = why_not_continued(Signature(name="a", length=4, **shape | given))
    assert reason is None if told is None else re.search(told, reason)
