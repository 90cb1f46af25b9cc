"""The endpoints of the document's form: /infer, /stream and /predict."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runs.serving.generation import Done, Event, Generation, Piece, Refused, Token
from runs.serving.http.bodies import InferRequest, PredictRequest
from runs.serving.http.replies import event, reply
from runs.serving.http.served import Served, asked_of, events, first_of, whole
from runs.serving.http.tokens import is_flat, plain, tokens_of
from runs.serving.predicting import batches

STREAM = "text/event-stream"
UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def infer(served: Served, request: Request) -> Response:
    """Answer with the whole continuation of a sequence."""
    generation, flat = await _asked(served, request, streamed=False)
    return reply(answer(await whole(served, generation, request), flat))


async def stream(served: Served, request: Request) -> Response:
    """Answer with an event for each new token, and the whole at the end."""
    generation, flat = await _asked(served, request, streamed=True)
    found = events(served, generation)
    first = await first_of(found, request)

    async def sent() -> AsyncIterator[str]:
        async with aclosing(found):
            yield _sent(first, flat)
            async for each in found:
                yield _sent(each, flat)

    return StreamingResponse(sent(), headers=UNBUFFERED, media_type=STREAM)


async def predict(served: Served, request: Request) -> Response:
    """Answer with the outputs of the model for each example."""
    examples = await asyncio.to_thread(_examples, served, await asked_of(request, served, PredictRequest))
    signature = served.signature
    with served.service.visit():
        outputs = await _called(served, examples, request)
    answered: dict[str, Any] = {"outputs": outputs}
    if signature.kind == "class":
        found = [max(range(len(row)), key=row.__getitem__) for row in outputs]
        answered["classes"] = found
        if signature.classes:
            answered["class_names"] = [signature.classes[each] for each in found]
    return reply(answered)


def answer(done: Done, flat: bool) -> dict[str, Any]:
    """Return the answer to a request as JSON has it.

    Parameters
    ----------
    done
        The continuation.
    flat
        Whether tokens are numbers, and not vectors.
    """
    asked, new = done.generation, plain(done.new_tokens, flat=flat)
    decoding = max(done.total - done.first, 1e-9)
    return {
        "request_id": asked.request_id,
        "tokens": plain(asked.tokens, flat=flat) + new,
        "generated_tokens": new,
        "finish_reason": "length",
        "seed": asked.seed,
        "timing": {
            "queue_seconds": round(done.waited, 6),
            "time_to_first_token_seconds": round(done.first, 6),
            "total_seconds": round(done.total, 6),
            "tokens_per_second": round((len(new) - 1) / decoding, 3) if len(new) > 1 else None,
        },
        "cache": {
            "hit": done.reused > 0,
            "prompt_tokens": len(asked.tokens),
            "prefix_tokens_reused": done.reused,
        },
    }


async def _asked(served: Served, request: Request, *, streamed: bool) -> tuple[Generation, bool]:
    served.check_continues()
    asked = await asked_of(request, served, InferRequest)
    discrete = served.signature.tokens == "discrete"
    if not discrete and asked.temperature != 1.0:
        raise Refused(
            422,
            f"temperature must be 1 or left out, not {asked.temperature:g}: the model says numbers, and draws none",
        )
    tokens = tokens_of(asked.tokens, served.signature, most_tokens(served))
    generation = Generation(
        asked.request_id or f"request-{next(served.numbers)}",
        tokens,
        new_tokens(served, len(tokens), asked.max_new_tokens, "max_new_tokens"),
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        seed=served.fresh_seed() if asked.seed is None else asked.seed,
        use_cache=asked.use_cache,
        reuse_prefix=asked.reuse_prefix,
        streamed=streamed,
        client=client(request),
    )
    return generation, not discrete and is_flat(asked.tokens)


def most_tokens(served: Served) -> int:
    """Return the longest prompt that can be continued."""
    return served.limits.max_tokens - 1


def new_tokens(served: Served, prompt: int, asked: int, name: str) -> int:
    """Return the number of new tokens that a request asks for.

    Parameters
    ----------
    served
        Whose limits hold.
    prompt
        Tokens of the prompt.
    asked, name
        The number, and what the request calls it.

    Raises
    ------
    Refused
        If they are too many.
    """
    limits = served.limits
    most = min(limits.max_new_tokens, limits.max_tokens - prompt)
    if asked > most:
        raise Refused(422, f"{name} must be at most {most} after a prompt of {prompt} tokens, not {asked}")
    return asked


def client(request: Request) -> str:
    """Return whose request it is: clients of one address are one."""
    return request.client.host if request.client else ""


def _examples(served: Served, asked: PredictRequest) -> list[tuple[Token, ...]]:
    """Return the examples of a request; a long one takes a while."""
    limits, signature = served.limits, served.signature
    tokens, most = sum(map(len, asked.inputs)), limits.max_tokens * limits.max_batch_size
    if tokens > most:
        raise Refused(413, f"inputs have {tokens} tokens together, but at most {most} are read at once")
    examples = [
        tokens_of(example, signature, limits.max_tokens, f"inputs[{at}]")
        for at, example in enumerate(asked.inputs)
    ]
    for at, example in enumerate(examples):
        if len(example) not in served.lengths:
            raise Refused(422, served.lengths.refused(f"inputs[{at}]", signature.name, len(example)))
    return examples


def _sent(found: Event, flat: bool) -> str:
    if isinstance(found, Piece):
        return event({"index": found.index, "token": plain([found.token], flat=flat)[0]})
    if isinstance(found, Done):
        return event(answer(found, flat), "done")
    return event({"error": found.sentence}, "error")


async def _called(served: Served, examples: Sequence[tuple[Token, ...]], request: Request) -> list[Any]:
    """Return the outputs for each example, batch by batch, so that others have their turn between."""
    found: list[Any] = [None] * len(examples)
    try:
        async with asyncio.timeout(served.limits.timeout):
            for places in batches([len(example) for example in examples]):
                if await request.is_disconnected():
                    raise Refused(499, "the client has left")
                batch = [examples[at] for at in places]
                future = served.service.call(partial(served.predictor, batch))
                for at, outputs in zip(places, await asyncio.wrap_future(future), strict=True):
                    found[at] = outputs
    except TimeoutError:
        told = f"the inputs were not read within {served.limits.timeout:g} s; send fewer, or later"
        raise Refused(504, told) from None
    return found
