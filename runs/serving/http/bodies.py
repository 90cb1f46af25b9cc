"""The bodies of requests: JSON without NaN and infinities, of these keys alone."""

import json
from itertools import islice
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from organisms.layers.config import Count, Section
from runs.config.problems import LONGEST, problems
from runs.serving.generation import Refused

Body = TypeVar("Body", bound=Section)

TOLD = 5  # problems of a body that are told

Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class InferRequest(Section):
    """A sequence to continue; names and defaults are the document's."""

    request_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What the answer calls the request; null: a number of the server's own."""
    tokens: Annotated[list[Any], Field(min_length=1)]
    """Symbols (whole numbers), or numbers, or vectors of numbers, as the model reads them."""
    max_new_tokens: Count = 50
    """Tokens to add."""
    temperature: Temperature = 1.0
    """Divides the logits; 0: always the likeliest. A model of numbers draws nothing and takes 1 alone."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Symbols among which is drawn; 0: all. Not read for numbers."""
    top_p: TopP = 1.0
    """Nucleus sampling; 1: all. Not read for numbers."""
    use_cache: bool = True
    """Whether keys and values of earlier tokens are kept from step to step."""
    reuse_prefix: bool = True
    """Whether what other requests began with is shared."""
    seed: Seed | None = None
    """Names every draw; null: the server draws one, and says it."""


class PredictRequest(Section):
    """Examples to be answered as a whole."""

    inputs: Annotated[list[list[Any]], Field(min_length=1, max_length=1024)]
    """Examples, each a list of tokens as the model reads them."""


class CompletionRequest(Section):
    """A text to continue, in the form of OpenAI's completions."""

    model: str = "plasmodia"
    """Not read: there is one model."""
    prompt: str | Annotated[list[int], Field(min_length=1, fail_fast=True)]
    """Text, where the vocabulary are the 256 bytes of UTF-8; or symbols."""
    max_tokens: Count = 16
    """Tokens to add."""
    temperature: Temperature = 1.0
    """Divides the logits; 0: always the likeliest."""
    top_p: TopP = 1.0
    """Nucleus sampling; 1: all."""
    n: Annotated[int, Field(ge=1, le=1)] = 1
    """Continuations; only one is made."""
    stream: bool = False
    """Whether pieces are sent as they come."""
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    """Texts before which the continuation ends."""
    seed: Seed | None = None
    """Names every draw; null: the server draws one, and says it."""
    user: str | None = None
    """Not read."""


def parsed(data: bytes, kind: type[Body]) -> Body:
    """Return the body of a request.

    Raises
    ------
    Refused
        If it is no JSON object (400), or has other keys or values than its kind (422).
    """
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except _NotFinite as error:
        raise Refused(
            400, f"the body has the number {error}, which JSON does not; send finite ones"
        ) from None
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refused(400, f"the body must be JSON, but is not: {told}") from None
    if not isinstance(value, dict):
        raise Refused(400, f"the body must be a JSON object, not a {type(value).__name__}")
    try:
        return kind.model_validate(_few(value, kind))
    except ValidationError as error:
        # Their place alone, and not all values below, is told of what was refused.
        found = problems(error.errors(include_url=False), kind)
        raise Refused(422, "; ".join(dict.fromkeys(str(each) for each in found[:TOLD]))) from None


def _few(value: dict[str, Any], kind: type[Body]) -> dict[str, Any]:
    """Return an object without most of its unknown keys, and without the ends of long ones: to tell a few is enough.

    To look for what each of a hundred thousand may have meant takes seconds, in which nobody else is answered.
    """
    unknown = list(islice((name for name in value if name not in kind.model_fields), TOLD))
    return {name: each for name, each in value.items() if name in kind.model_fields} | {
        name[: LONGEST + 1]: value[name] for name in unknown
    }


class _NotFinite(Exception):
    pass


def _no_constant(name: str) -> float:
    raise _NotFinite(name)
