import json

import pytest

from runs.serving.http.completions import Text
from tests.runs.serving.small import numbers, symbols


def said(text, tokens):
    """The pieces of a text, until it is stopped."""
    found = []
    for token in tokens:
        found.append(text.add(token))
        if text.is_stopped:
            return found
    return [*found, text.end()]


def test_text_is_continued_as_the_same_bytes_are(serving):
    client = serving(symbols(256))
    asked = {"prompt": "Gr\u00fc\u00dfe", "max_tokens": 12, "seed": 5, "temperature": 0.9, "top_p": 0.95}
    found = client.post("/v1/completions", json=asked).json()
    same = client.post(
        "/infer",
        json={
            "tokens": list("Gr\u00fc\u00dfe".encode()),
            "max_new_tokens": 12,
            "seed": 5,
            "temperature": 0.9,
            "top_p": 0.95,
        },
    ).json()
    (choice,) = found["choices"]
    assert choice["text"] == bytes(same["generated_tokens"]).decode(errors="replace")
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert found["usage"] == {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19}
    assert (found["object"], found["id"], found["model"]) == ("text_completion", "cmpl-1", "small")
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == "small"


def test_what_is_streamed_is_what_comes_whole(serving):
    client = serving(symbols(256))
    asked = {"prompt": "hello", "max_tokens": 20, "seed": 5}
    whole = client.post("/v1/completions", json=asked).json()["choices"][0]["text"]
    lines = client.post("/v1/completions", json=asked | {"stream": True}).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    values = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(value["choices"][0]["text"] for value in values) == whole
    reasons = [value["choices"][0]["finish_reason"] for value in values]
    assert reasons == [None] * (len(values) - 1) + ["length"]


def test_it_ends_before_a_stop(serving):
    client = serving(symbols(256))
    asked = {"prompt": "hello", "max_tokens": 30, "seed": 5}
    whole = client.post("/v1/completions", json=asked).json()["choices"][0]["text"]
    stop = whole[10:12]
    found = client.post("/v1/completions", json=asked | {"stop": ["nowhere", stop]}).json()
    assert found["choices"][0]["text"] == whole[: whole.index(stop)]
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] < 30


def test_symbols_that_are_no_bytes_are_numbers(serving):
    client = serving(symbols(20))
    found = client.post("/v1/completions", json={"prompt": [1, 2], "max_tokens": 3, "seed": 1}).json()
    same = client.post("/infer", json={"tokens": [1, 2], "max_new_tokens": 3, "seed": 1}).json()
    assert found["choices"][0]["text"] == " ".join(map(str, same["generated_tokens"]))
    text = client.post("/v1/completions", json={"prompt": "a"})
    assert (text.status_code, text.json()["error"]) == (
        422,
        "prompt must be a list of symbols: the model has 20 of them, and text is the 256 bytes of UTF-8",
    )


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"prompt": ""}, 422, "prompt must be at least one token"),
        ({"prompt": "a", "n": 2}, 422, "n: must be at most 1, not 2"),
        ({"prompt": "a", "logprobs": 1}, 422, "logprobs: unknown key"),
        ({"prompt": [256]}, 422, "prompt[0] must be a symbol, a whole number from 0 to 255, not 256"),
        ({"prompt": "a", "max_tokens": 2000}, 422, "max_tokens must be at most 1024"),
        ({"prompt": ["a"]}, 422, "prompt"),
        ({"prompt": "a", "stop": ["a"] * 5}, 422, "stop"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(serving, body, status, told):
    answer = serving(symbols(256)).post("/v1/completions", json=body)
    assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text


def test_models_of_numbers_have_no_completions(serving):
    answer = serving(numbers()).post("/v1/completions", json={"prompt": "a"})
    assert (answer.status_code, "completions are of symbols" in answer.json()["error"]) == (409, True)


def test_a_character_is_said_when_its_last_byte_is_there_and_half_of_one_at_the_end():
    assert said(Text(256, ()), "a\u00fcb".encode()) == ["a", "", "\u00fc", "b", ""]
    assert said(Text(256, ()), b"a\xc3") == ["a", "", "\ufffd"]
    assert said(Text(256, ()), b"\xffa") == ["\ufffd", "a", ""]


def test_what_may_begin_a_stop_is_held_back_until_it_does_not():
    assert said(Text(256, ["abc"]), b"xababc!") == ["x", "", "", "ab", "", ""]
    assert said(Text(256, ["abc"]), b"xab") == ["x", "", "", "ab"]
    assert said(Text(256, ["b", "ab"]), b"ab") == ["", ""]
    assert said(Text(256, [""]), b"ab") == ["a", "b", ""]
