import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.exact_rows import assert_same_rows
from tests.runs.serving.small import classes, numbers, symbols

FIRST = [  # the document's, in this order
    "total_requests", "cache_hits", "cache_hit_rate", "total_prefix_tokens_reused", "kv_cache_entries",
    "kv_cache_total_tokens",
]  # fmt: skip


def pieces(response):
    """The events of a stream: name and value."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields.get("event"), json.loads(fields["data"])))
    return found


def test_the_document_s_requests_are_answered(serving):
    client = serving(numbers())
    assert client.get("/health").status_code == 200
    first = client.post(
        "/infer",
        json={
            "request_id": "test_request",
            "tokens": [0.1, 0.5, -0.2, 0.8, 0.3],
            "max_new_tokens": 10,
            "temperature": 1.0,
            "use_cache": True,
            "reuse_prefix": True,
        },
    ).json()
    assert first["request_id"] == "test_request"
    assert first["tokens"][:5] == [0.1, 0.5, -0.2, 0.8, 0.3]
    assert len(first["generated_tokens"]) == 10
    assert first["tokens"][5:] == first["generated_tokens"]
    assert first["cache"] == {"hit": False, "prompt_tokens": 5, "prefix_tokens_reused": 0}
    second = client.post(
        "/infer",
        json={
            "request_id": "unique_id",
            "tokens": [0.1, 0.5, -0.2],
            "max_new_tokens": 50,
            "temperature": 1.0,
            "top_k": 50,
            "top_p": 0.9,
            "use_cache": True,
            "reuse_prefix": True,
        },
    ).json()
    assert second["cache"]["prefix_tokens_reused"] == 2
    assert 0 <= second["timing"]["time_to_first_token_seconds"] <= second["timing"]["total_seconds"]
    stats = client.get("/stats").json()
    assert list(stats)[:6] == FIRST
    assert [stats[name] for name in FIRST[:4]] == [2, 1, 0.5, 2]
    assert stats["kv_cache_total_tokens"] == client.served.service.engine.prefixes.tokens > 50


def test_symbols_and_vectors_come_back_as_they_are(serving):
    found = serving(symbols()).post("/infer", json={"tokens": [1, 2], "max_new_tokens": 3}).json()
    assert found["tokens"][:2] == [1, 2]
    assert all(0 <= token < 20 for token in found["generated_tokens"])
    assert (found["request_id"], found["seed"], found["finish_reason"]) == ("request-1", 1, "length")
    vectors = serving(numbers(3)).post("/infer", json={"tokens": [[0.1, 2, -3e-5]], "max_new_tokens": 2})
    assert vectors.json()["tokens"][0] == [0.1, 2.0, -3e-5]
    assert [len(token) for token in vectors.json()["generated_tokens"]] == [3, 3]
    single = serving(numbers()).post("/infer", json={"tokens": [[0.1], [0.2]], "max_new_tokens": 1})
    assert single.json()["tokens"][:2] == [[0.1], [0.2]]


def test_a_seed_names_the_answer_and_without_one_the_answer_names_its_own(serving):
    client, asked = serving(symbols()), {"tokens": [5], "max_new_tokens": 20}
    own = client.post("/infer", json=asked).json()
    again = client.post("/infer", json=asked | {"seed": own["seed"], "reuse_prefix": False}).json()
    other = client.post("/infer", json=asked | {"seed": own["seed"] + 1}).json()
    assert again["generated_tokens"] == own["generated_tokens"] != other["generated_tokens"]


@pytest.mark.parametrize("signature", [symbols(), numbers()])
def test_what_is_streamed_is_what_comes_whole(serving, signature):
    client = serving(signature)
    asked = {"request_id": "a", "tokens": [1, 2], "max_new_tokens": 4, "seed": 3}
    *streamed, (name, last) = pieces(client.post("/stream", json=asked))
    whole = client.post("/infer", json=asked | {"use_cache": False}).json()
    assert [event["index"] for _, event in streamed] == [0, 1, 2, 3]
    assert_same_rows([event["token"] for _, event in streamed], whole["generated_tokens"])
    assert_same_rows(last["tokens"], whole["tokens"])
    assert (name, last["request_id"]) == ("done", "a")


def test_examples_are_answered_as_the_model_answers_them(serving):
    client = serving(classes(), "transformer")
    examples = [[[0.5, 1], [2, 3], [0, 0], [1, 1]], [[1, 1], [0.25, 0]] * 2, [[0, 1], [1, 0], [1, 1], [0, 0]]]
    found = client.post("/predict", json={"inputs": examples}).json()
    assert [len(row) for row in found["outputs"]] == [3, 3, 3]
    assert found["classes"] == [row.index(max(row)) for row in found["outputs"]]
    alone = [client.post("/predict", json={"inputs": [each]}).json()["outputs"][0] for each in examples]
    assert found["outputs"] == [pytest.approx(row, rel=0, abs=1e-5) for row in alone]
    assert "class_names" not in found
    assert "classes" not in serving(numbers()).post("/predict", json={"inputs": [[1, 2]]}).json()


def test_names_of_classes_are_answered_where_the_task_knows_them(serving):
    client = serving(replace(classes(), classes=("ant", "bee", "cat")), "transformer")
    found = client.post("/predict", json={"inputs": [[[3 * at, -at]] * 4 for at in range(-3, 4)]}).json()
    assert found["class_names"] == [("ant", "bee", "cat")[number] for number in found["classes"]]
    assert len(set(found["class_names"])) > 1


def test_examples_of_lengths_that_predict_refuses_are_refused(serving):
    for signature, kind, told in (
        (classes(), "transformer", "of 4 tokens for a model of the task 'digits', not of 17"),
        (numbers(2), "flow", "of 1 to 16 tokens for a model of the task 'signals', not of 17"),
        (numbers(2), "transformer", None),
    ):
        client = serving(signature, kind)
        answer = client.post("/predict", json={"inputs": [[[0, 0]] * 4, [[0, 0]] * 17]})
        error = {"error": f"inputs[1] must be {told}"}
        assert (answer.status_code, answer.json() == error) == ((422, True) if told else (200, False))
        assert client.get("/stats").json()["examples"] == f"of {client.served.lengths}"


def test_examples_of_several_batches_are_answered_whole_by_a_server_that_is_asked_to_stop(
    serving, monkeypatch
):
    client = serving(symbols())
    service = client.served.service
    call = service.call

    def asked(job):
        service.drain()
        return call(job)

    monkeypatch.setattr(service, "call", asked)
    inputs = [[1], [1, 2], [1, 2, 3]]
    answer = client.post("/predict", json={"inputs": inputs})
    assert answer.status_code == 200
    assert [len(each) for each in answer.json()["outputs"]] == [1, 2, 3]
    assert client.post("/predict", json={"inputs": inputs}).status_code == 503


def test_who_cannot_continue_says_so(serving):
    client = serving(classes(), "transformer")
    for path in ("/infer", "/stream", "/v1/completions"):
        answer = client.post(path, json={})
        assert (answer.status_code, answer.json()) == (
            409,
            {
                "error": "the model continues no sequences, because it answers examples as a whole (kind class); send "
                "examples to /predict"
            },
        )


REFUSED = [
    ({}, 422, "tokens: must be given"),
    ({"tokens": []}, 422, "tokens: must be a list of at least 1, not []"),
    ({"tokens": "abc"}, 422, 'tokens: must be a list, not "abc"'),
    ({"tokens": [1, 20]}, 422, "tokens[1] must be a symbol, a whole number from 0 to 19, not 20"),
    ({"tokens": [-1]}, 422, "tokens[0] must be a symbol, a whole number from 0 to 19, not -1"),
    ({"tokens": [1.0]}, 422, "tokens[0] must be a symbol, a whole number from 0 to 19, not 1.0"),
    ({"tokens": [True]}, 422, "tokens[0] must be a symbol, a whole number from 0 to 19, not true"),
    ({"tokens": [[1]]}, 422, "tokens[0] must be a symbol, a whole number from 0 to 19, not a list of 1"),
    ({"tokens": [1], "max_new_tokens": 0}, 422, "max_new_tokens: must be at least 1, not 0"),
    ({"tokens": [1], "max_new_tokens": 1025}, 422, "must be at most 1024 after a prompt of 1 tokens, not 1025"),
    ({"tokens": [1] * 4000, "max_new_tokens": 97}, 422, "must be at most 96 after a prompt of 4000 tokens"),
    ({"tokens": [1] * 4096}, 413, "tokens are 4096, but at most 4095 are read"),
    ({"tokens": [1], "temperature": -1}, 422, "temperature: must be at least 0, not -1"),
    ({"tokens": [1], "top_p": 1.5}, 422, "top_p: must be at most 1, not 1.5"),
    ({"tokens": [1], "seed": 2**63}, 422, "seed: must be less than 9223372036854775808"),
    ({"tokens": [1], "temprature": 1}, 422, "temprature: unknown key; did you mean temperature?"),
    ({"tokens": [1], "use_cache": "yes"}, 422, 'use_cache: must be true or false, not "yes"'),
]  # fmt: skip


def test_what_is_wrong_is_told_in_one_sentence(serving):
    client = serving(symbols())
    for body, status, told in REFUSED:
        answer = client.post("/infer", json=body)
        assert answer.status_code == status, body
        assert list(answer.json()) == ["error"]
        assert told in answer.json()["error"]
    assert client.served.service.engine.counts.requests == 0


def test_numbers_that_are_none_are_told_in_one_sentence(serving):
    client = serving(numbers(2))
    for tokens, told in (
        ([[1]], "tokens[0] must be a list of 2 numbers, not a list of 1"),
        ([1], "tokens[0] must be a list of 2 numbers, not 1"),
        ([[1, 2], [1, "x"]], 'tokens[1] must hold numbers, not "x"'),
        ([[1, True]], "tokens[0] must hold numbers, not true"),
        ([[1e39, 0]], "tokens[0] must be finite in float32, up to 3.4e38, and 1e+39 is not"),
        ([[10**400, 0]], "tokens[0] must be finite in float32"),
    ):
        answer = client.post("/infer", json={"tokens": tokens})
        assert (answer.status_code, told in answer.json()["error"]) == (422, True), answer.text
    cold = client.post("/infer", json={"tokens": [[1, 2]], "temperature": 0.5})
    assert "temperature must be 1 or left out, not 0.5" in cold.json()["error"]
    many = client.post("/predict", json={"inputs": [[[0, 0]] * 4096] * 5})
    assert (many.status_code, "20480 tokens together" in many.json()["error"]) == (413, True)
    assert client.post("/predict", json={"inputs": [[]]}).json() == {
        "error": "inputs[0] must be at least one token"
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["tokens", "max_new_tokens", "temperature", "seed", "inputs", "prompt", "stop"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def test_nonsense_is_refused_and_nothing_is_hurt(serving):
    client = serving(symbols(256), max_new_tokens=60)

    @settings(max_examples=40)
    @given(JSON.map(json.dumps).map(str.encode) | st.binary(max_size=30))
    def tried(body):
        for path in ("/infer", "/predict", "/v1/completions"):
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (200, 400, 413, 422), answer.text
            if answer.status_code != 200:
                assert list(answer.json()) == ["error"]
                assert "\n" not in answer.json()["error"]
        assert client.get("/health").status_code == 200

    tried()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body must be JSON, but is not: Expecting value"),
        (b"{", "the body must be JSON, but is not: Expecting property name"),
        (b"[1]", "the body must be a JSON object, not a list"),
        (b'{"tokens": [NaN]}', "the body has the number NaN, which JSON does not"),
        (b'{"tokens": [-Infinity]}', "the body has the number -Infinity"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"tokens": [' + b"9" * 5000 + b"]}", "the body must be JSON, but is not: Exceeds the limit"),
        (b"\xff\xfe", "the body must be JSON, but is not:"),
    ],
)
def test_a_body_that_is_no_json_is_refused(serving, body, told):
    answer = serving(symbols()).post("/infer", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text


def test_infinities_never_go_out(serving):
    answer = serving(numbers(), "transformer").post("/infer", json={"tokens": [3e38]})
    assert answer.status_code == 422
    assert answer.json() == {"error": "what the model answers is not finite after 0 new tokens"}
    streamed = serving(numbers(), "transformer").post("/stream", json={"tokens": [3e38]})
    assert (streamed.status_code, streamed.json()) == (422, answer.json())
    predicted = serving(numbers(), "transformer").post("/predict", json={"inputs": [[3e38]]})
    assert (predicted.status_code, "not finite" in predicted.json()["error"]) == (422, True)
