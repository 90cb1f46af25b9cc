"""What the endpoints of one server share."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from runs.models.lengths import Lengths
from runs.models.signature import Signature
from runs.serving.generation import Done, Event, Failed, Generation, Piece, Refused
from runs.serving.http.bodies import Body, parsed
from runs.serving.http.metrics import Metrics
from runs.serving.limits import Limits
from runs.serving.predicting import Predictor
from runs.serving.service import Service

Answer = TypeVar("Answer")

LONG = 2**14  # bytes of a body that takes a millisecond or more to read


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is served.

    Parameters
    ----------
    name
        What clients read about which model it is.
    signature
        What it reads and answers.
    limits
        What is taken on.
    lengths
        Which examples are answered as a whole.
    service, predictor
        Who continues sequences, and who answers whole examples.
    metrics
        What is measured.
    fresh_seed
        Draws a seed for a request that names none.
    numbers
        Of requests without a name.
    """

    name: str
    signature: Signature
    lengths: Lengths
    limits: Limits
    service: Service
    predictor: Predictor
    metrics: Metrics
    fresh_seed: Callable[[], int]
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def check_continues(self) -> None:
        """Refuse what the model cannot do.

        Raises
        ------
        Refused
            If it does not say what comes next.
        """
        reason = why_not_continued(self.signature)
        if reason:
            raise Refused(
                409, f"the model continues no sequences, because {reason}; send examples to /predict"
            )


def why_not_continued(signature: Signature) -> str | None:
    """Return why a model of this signature does not say what comes next; None: it does."""
    if not signature.per_position:
        return f"it answers examples as a whole (kind {signature.kind})"
    if not signature.causal:
        return "its tokens see later ones"
    if (signature.kind == "token") != (signature.tokens == "discrete"):
        return f"it reads {signature.tokens} tokens and answers others (kind {signature.kind})"
    if signature.outputs != signature.features:
        return f"it reads tokens of {signature.features} numbers or symbols and answers {signature.outputs}"
    return None


async def body_of(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises
    ------
    Refused
        If it is too large (413), or does not come (408).
    """
    try:
        async with asyncio.timeout(limits.body_timeout):
            parts, size = [], 0
            async for part in request.stream():
                size += len(part)
                if size > limits.max_body:
                    raise Refused(413, f"the body must be at most {limits.max_body} bytes")
                parts.append(part)
            return b"".join(parts)
    except TimeoutError:
        raise Refused(408, f"the body must have come within {limits.body_timeout:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the body ended before it was whole") from None


async def asked_of(request: Request, served: Served, kind: type[Body]) -> Body:
    """Return what a request asks for; a long body is read beside the loop, so that others are answered meanwhile.

    Parameters
    ----------
    request
        With a body.
    served
        Whose limits hold.
    kind
        What the body must be.

    Raises
    ------
    Refused
        As `body_of` and `runs.serving.http.bodies.parsed` do.
    """
    data = await body_of(request, served.limits)
    return parsed(data, kind) if len(data) < LONG else await asyncio.to_thread(parsed, data, kind)


async def events(served: Served, generation: Generation) -> AsyncGenerator[Event, None]:
    """Yield what comes of a request; whoever stops listening takes it back.

    Raises
    ------
    Refused
        If it is not taken on.
    """
    loop, found = asyncio.get_running_loop(), asyncio.Queue[Event]()

    def listener(event: Event) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody is left
            loop.call_soon_threadsafe(found.put_nowait, event)

    ticket = served.service.submit(generation, listener)
    ended = False
    try:
        while not ended:
            event = await found.get()
            ended = not isinstance(event, Piece)
            if isinstance(event, Done):
                served.metrics.done(event)
            yield event
    finally:
        if not ended:
            served.service.cancel(ticket)


async def first_of(found: AsyncGenerator[Event, None], request: Request) -> Piece | Done:
    """Return the first event of a stream, before which the status of the answer can still be said.

    Parameters
    ----------
    found
        The stream; if the client leaves before, it is taken back.
    request
        Whose body was read.

    Raises
    ------
    Refused
        If the request is not taken on, has failed, or the client has left.
    """
    first = await _unless_left(anext(found), request)
    if isinstance(first, Failed):
        raise Refused(first.status, first.sentence)
    return first


async def whole(served: Served, generation: Generation, request: Request) -> Done:
    """Return the whole continuation; if the client leaves before, it is taken back.

    Parameters
    ----------
    served
        Who continues.
    generation
        What.
    request
        Whose body was read.

    Raises
    ------
    Refused
        If it is not taken on, fails, or the client has left.
    """
    event = await _unless_left(_last(served, generation), request)
    if isinstance(event, Done):
        return event
    assert not isinstance(event, Piece), "a piece is no last event"
    raise Refused(event.status, event.sentence)


async def _last(served: Served, generation: Generation) -> Event:
    async with aclosing(events(served, generation)) as found:
        async for event in found:
            if not isinstance(event, Piece):
                return event
    raise RuntimeError("a request had no end")


async def _unless_left(work: Awaitable[Answer], request: Request) -> Answer:
    answer, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Refused(499, "the client has left")
        return answer.result()
    finally:
        answer.cancel()
        leaving.cancel()
        await asyncio.gather(answer, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
