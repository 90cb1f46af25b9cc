"""Answers: JSON in ASCII without NaN and infinities, errors of one sentence, and events of a stream."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from runs.serving.generation import Refused


def reply(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer of JSON.

    Parameters
    ----------
    value
        Plain and finite.
    status
        Of HTTP.
    headers
        Beside those that every answer has.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return Response(as_json(value), status, headers, "application/json")


def refusal(error: Refused) -> Response:
    """Return the answer to a request that was not taken on."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return reply({"error": error.sentence}, error.status, headers)


def event(value: Mapping[str, Any], name: str | None = None) -> str:
    """Return a server-sent event."""
    return f"{'' if name is None else f'event: {name}' + chr(10)}data: {as_json(value)}\n\n"


def as_json(value: Mapping[str, Any]) -> str:
    """Return JSON of one line.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
