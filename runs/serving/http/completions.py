"""The endpoint /v1/completions, in OpenAI's form, for models of symbols; text is UTF-8 where these are 256 bytes."""

import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runs.serving.generation import Done, Event, Failed, Generation, Refused, Token
from runs.serving.http.bodies import CompletionRequest
from runs.serving.http.infer import STREAM, UNBUFFERED, client, most_tokens, new_tokens
from runs.serving.http.replies import event, reply
from runs.serving.http.served import Served, asked_of, events, first_of
from runs.serving.http.tokens import tokens_of

BYTES = 256


class Text:
    """The text of a continuation as it grows, up to the first of some stops.

    Parameters
    ----------
    vocabulary
        256: symbols are bytes of UTF-8; else they are numbers, with spaces between.
    stops
        Texts before which it ends.
    """

    def __init__(self, vocabulary: int, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if vocabulary == BYTES else None
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self._first = True
        self.is_stopped = False

    def add(self, token: Token) -> str:
        """Return what can be said after one more token: not what may be the beginning of a stop."""
        self._held += self._piece(token)
        places = [self._held.find(stop) for stop in self._stops]
        if found := [place for place in places if place >= 0]:
            self.is_stopped = True
            said, self._held = self._held[: min(found)], ""
            return said
        keep = max((_beginning(self._held, stop) for stop in self._stops), default=0)
        said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return said

    def end(self) -> str:
        """Return what was held back, when no more comes."""
        rest = self._decoder.decode(b"", True) if self._decoder else ""
        return self._held + rest

    def _piece(self, token: Token) -> str:
        assert isinstance(token, int), "completions are of symbols"
        if self._decoder is not None:
            return self._decoder.decode(bytes([token]))
        space, self._first = "" if self._first else " ", False
        return f"{space}{token}"


def _beginning(text: str, stop: str) -> int:
    """Return the characters at the end of a text that a stop begins with."""
    most = min(len(text), len(stop) - 1)
    return next((length for length in range(most, 0, -1) if text.endswith(stop[:length])), 0)


async def completions(served: Served, request: Request) -> Response:
    """Answer with the continuation of a text, whole or as a stream."""
    served.check_continues()
    if served.signature.tokens != "discrete":
        raise Refused(409, "completions are of symbols, but the model reads numbers; send them to /infer")
    asked = await asked_of(request, served, CompletionRequest)
    tokens = tokens_of(_symbols(asked.prompt, served), served.signature, most_tokens(served), "prompt")
    generation = Generation(
        f"cmpl-{next(served.numbers)}",
        tokens,
        new_tokens(served, len(tokens), asked.max_tokens, "max_tokens"),
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=served.fresh_seed() if asked.seed is None else asked.seed,
        streamed=True,
        client=client(request),
    )
    stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    text = Text(served.signature.features, stops)
    found = events(served, generation)
    first = await first_of(found, request)
    if asked.stream:
        return StreamingResponse(
            _streamed(served, generation, text, first, found), headers=UNBUFFERED, media_type=STREAM
        )
    return await _whole(served, generation, text, first, found, request)


async def _streamed(
    served: Served, generation: Generation, text: Text, first: Event, found: AsyncGenerator[Event, None]
) -> AsyncIterator[str]:
    async with aclosing(found):
        try:
            async for piece, reason in _pieces(text, first, found):
                if piece or reason:  # half a character is said with its other half
                    yield event(_form(served, generation, piece, reason))
            yield "data: [DONE]\n\n"
        except Refused as error:
            yield event({"error": error.sentence})


async def _whole(
    served: Served,
    generation: Generation,
    text: Text,
    first: Event,
    found: AsyncGenerator[Event, None],
    request: Request,
) -> Response:
    pieces: list[str] = []
    reason = None
    async with aclosing(found):
        async for piece, reason in _pieces(text, first, found):  # noqa: B007
            pieces.append(piece)
            if await request.is_disconnected():
                raise Refused(499, "the client has left")
    prompt = len(generation.tokens)
    new = len(pieces) - (reason == "length")
    usage = {"prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new}
    return reply({**_form(served, generation, "".join(pieces), reason), "usage": usage})


async def _pieces(
    text: Text, first: Event, found: AsyncIterator[Event]
) -> AsyncIterator[tuple[str, str | None]]:
    """Yield the text of each token and, with the last, why it is the last."""
    each: Event = first
    while True:
        if isinstance(each, Failed):
            raise Refused(each.status, each.sentence)
        if isinstance(each, Done):
            yield text.end(), "length"
            return
        piece = text.add(each.token)
        yield piece, "stop" if text.is_stopped else None
        if text.is_stopped:
            return
        each = await anext(found)


def _form(served: Served, generation: Generation, text: str, reason: str | None) -> dict[str, Any]:
    return {
        "id": generation.request_id,
        "object": "text_completion",
        "model": served.name,
        "seed": generation.seed,
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}],
    }


def _symbols(prompt: str | list[int], served: Served) -> list[int]:
    if not isinstance(prompt, str):
        return prompt
    if served.signature.features != BYTES:
        raise Refused(
            422,
            f"prompt must be a list of symbols: the model has {served.signature.features} of them, and text is the "
            f"{BYTES} bytes of UTF-8",
        )
    try:
        return list(prompt.encode())
    except UnicodeEncodeError:
        raise Refused(422, "prompt must be text that UTF-8 can say, without half a surrogate pair") from None
