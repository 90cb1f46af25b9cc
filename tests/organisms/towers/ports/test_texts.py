"""Ports of texts compute what the library computes, and refuse what they would read in part or not at all."""

import pytest
import torch

from organisms.towers import CLIPPort, QwenPort
from tests.organisms.towers.ports.tiny import picture, save_clip, save_qwen

TEXTS = ["a cat", "many more words", "x"]


@pytest.fixture(scope="module", params=["Qwen2", "Qwen3"])
def qwen(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return folder, *save_qwen(folder, request.param)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return folder, *save_clip(folder)


def hidden_states(model, words, text):
    with torch.no_grad():
        return model(**words([text], return_tensors="pt")).last_hidden_state[0]


@pytest.mark.parametrize(
    ("pool", "definition"),
    [("last", lambda h: h[-1]), ("mean", lambda h: h.mean(0)), ("max", lambda h: h.max(0).values)],
)
def test_qwen_is_the_librarys_forward_pass_pooled(qwen, pool, definition):
    folder, model, words = qwen
    found = QwenPort("qwen", folder, pool=pool).load()(TEXTS)
    wanted = torch.stack([definition(hidden_states(model, words, text)) for text in TEXTS])
    torch.testing.assert_close(found, wanted)


def test_without_a_pool_every_token_comes(qwen):
    folder, model, words = qwen
    port = QwenPort("qwen", str(folder), pool=None).load()
    torch.testing.assert_close(port("a cat"), hidden_states(model, words, "a cat"))
    assert port(TEXTS).shape == (3, 15, 16)


def test_the_documents_port_gives_the_last_token(qwen):
    port = QwenPort("qwen", str(qwen[0]), pool="last")
    port.load()
    embedding, embeddings = port("a cat sitting on a mat"), port(["hello", "world", "test"])
    assert (embedding.shape, embeddings.shape) == ((16,), (3, 16))
    port.to("cpu")
    port.half()
    assert port("hello").dtype == torch.float16
    port.unload()


def test_an_instruction_is_put_by_the_template_of_the_tokenizer(qwen, tmp_path):
    folder, model, words = qwen
    found = QwenPort("qwen", folder, instruct=True).load()("a cat")
    torch.testing.assert_close(found, hidden_states(model, words, "<user>a cat>")[-1])
    save_qwen(tmp_path, template=None)
    with pytest.raises(ValueError, match=r"has instruct=True, but the tokenizer of .* has no chat template"):
        QwenPort("qwen", tmp_path, instruct=True).load()


@pytest.mark.parametrize(
    ("pool", "definition"),
    [
        ("last", lambda out: out.pooler_output[0]),
        ("mean", lambda out: out.last_hidden_state[0].mean(0)),
        ("max", lambda out: out.last_hidden_state[0].max(0).values),
        (None, lambda out: out.last_hidden_state[0]),
    ],
)
def test_clips_tokens_are_the_librarys_pooled(clip, pool, definition):
    folder, model, _, words = clip
    port = CLIPPort("clip", folder, modality="text", pool=pool).load()
    with torch.no_grad():
        wanted = definition(model.text_model(**words(["a cat"], return_tensors="pt")))
    torch.testing.assert_close(port("a cat"), wanted)


def test_clips_projection_is_the_librarys_whatever_is_in_the_batch(clip):
    folder, model, _, words = clip
    found = CLIPPort("clip", folder).load()(TEXTS)
    with torch.no_grad():
        wanted = [model.text_projection(model.text_model(**one(words, text)).pooler_output) for text in TEXTS]
    torch.testing.assert_close(found, torch.cat(wanted))
    assert found.shape == (3, 12)


def one(words, text):
    return words([text], return_tensors="pt")


PORTS = {
    "qwen": lambda folder, **o: QwenPort("port", folder, **o),
    "clip": lambda folder, **o: CLIPPort("port", folder, **o),
}


@pytest.mark.parametrize("kind", PORTS)
def test_a_text_is_read_whole_or_cut_off_as_asked(kind, qwen, clip):
    folder, longest = (qwen[0], 24) if kind == "qwen" else (clip[0], 16)
    text = "x y " * longest
    with pytest.raises(
        ValueError, match=rf"reads up to {longest} tokens, but text number 1 has \d+: shorten it"
    ):
        PORTS[kind](folder).load()(["x", text])
    cut = PORTS[kind](folder, pool=None, max_length=10).load()
    assert cut(text).shape[0] == 10
    assert PORTS[kind](folder, pool=None, max_length=1000).load()(text).shape[0] == longest


@pytest.mark.parametrize("length", [0, -1, 2.5])
@pytest.mark.parametrize("kind", PORTS)
def test_a_length_is_positive(kind, length):
    with pytest.raises(ValueError, match="max_length of port 'port' must be at least 1, or None, but is"):
        PORTS[kind]("nowhere", max_length=length)


@pytest.mark.parametrize("kind", PORTS)
def test_what_is_no_text_is_refused(kind, qwen, clip):
    port = PORTS[kind]({"qwen": qwen, "clip": clip}[kind][0]).load()
    with pytest.raises(TypeError, match="port 'port' reads texts, but number 1 is a Image"):
        port(["a cat", picture()])
    with pytest.raises(TypeError, match="port 'port' reads texts, but number 0 is a Tensor"):
        port(torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match="at least one text, but the batch is empty"):
        port([])


def test_a_text_without_tokens_is_refused(qwen):
    with pytest.raises(ValueError, match=r"cannot encode text number 1, '': it has no tokens"):
        QwenPort("qwen", qwen[0]).load()(["a", ""])
    with pytest.raises(ValueError, match=r"cannot encode text number 0, '': it has no tokens"):
        QwenPort("qwen", qwen[0]).load()("")
