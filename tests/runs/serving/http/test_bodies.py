import json
import threading

import pytest

from runs.config.problems import problems
from runs.serving.generation import Refused
from runs.serving.http import bodies, served
from runs.serving.http.bodies import CompletionRequest, InferRequest, PredictRequest, parsed
from tests.runs.serving.small import symbols


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (InferRequest, {"tokens": [1]} | {f"key{number}": 0 for number in range(5000)}, "key4: unknown key"),
        (CompletionRequest, {"prompt": ["a"] * 5000}, "prompt[0]: must be an integer"),
        (PredictRequest, {"inputs": [1] * 5000}, "at most 1024 items"),
        (InferRequest, {"tokens": [1], "k" * 5000: 0}, "...: unknown key"),
    ],
)
def test_of_a_body_that_is_wrong_in_thousands_of_places_a_few_are_looked_at(monkeypatch, kind, body, told):
    seen = []
    monkeypatch.setattr(
        bodies, "problems", lambda errors, kind: seen.append(errors) or problems(errors, kind)
    )
    with pytest.raises(Refused) as refused:
        parsed(json.dumps(body).encode(), kind)
    assert told in refused.value.sentence
    (errors,) = seen
    assert len(errors) <= 1024
    assert all(len(str(part)) < 200 for error in errors for part in error["loc"])
    if kind is not PredictRequest:  # whose items are bounded by their number
        assert len(errors) <= bodies.TOLD + 1


def test_a_long_body_is_read_beside_the_loop(serving, monkeypatch):
    threads = []

    def read(data, kind):
        threads.append((len(data) > served.LONG, threading.current_thread().name))
        return parsed(data, kind)

    monkeypatch.setattr(served, "parsed", read)
    client = serving(symbols())
    for count in (1, 20_000):
        client.post("/infer", json={"tokens": [1] * count, "max_new_tokens": 1})
    (short, loop), (long, beside) = threads
    assert (short, loop.startswith("asyncio_"), long, beside.startswith("asyncio_")) == (
        False,
        False,
        True,
        True,
    )
