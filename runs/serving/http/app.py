"""The application: which path is answered by what."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from organisms.layers.config import Section
from runs.serving.generation import Refused
from runs.serving.http import pages
from runs.serving.http.bodies import CompletionRequest, InferRequest, PredictRequest
from runs.serving.http.completions import completions
from runs.serving.http.guard import Application, Guard
from runs.serving.http.infer import infer, predict, stream
from runs.serving.http.replies import refusal, reply
from runs.serving.http.served import Served, why_not_continued
from runs.serving.service import BROKEN
from runs.serving.stats import stats

Endpoint = Callable[[Served, Request], Awaitable[Response]]

EXAMPLES: dict[str, dict[str, Any]] = {
    "discrete": {"request_id": "test_request", "tokens": [72, 105], "max_new_tokens": 10, "seed": 1},
    "continuous": {"request_id": "test_request", "tokens": [0.1, 0.5, -0.2, 0.8, 0.3], "max_new_tokens": 10},
}
POSTS: dict[str, tuple[Endpoint, type[Section], str]] = {
    "/infer": (infer, InferRequest, "Continue a sequence, and answer with the whole."),
    "/stream": (stream, InferRequest, "Continue a sequence, and send each new token as a server-sent event."),
    "/predict": (
        predict,
        PredictRequest,
        "Answer whole examples: outputs, and the class where there are classes.",
    ),
    "/v1/completions": (
        completions,
        CompletionRequest,
        "Continue a text, in the form of OpenAI's completions.",
    ),
}
GETS = ("/health", "/ready", "/stats", "/metrics", "/v1/models", "/docs", "/openapi.json")
PATHS = frozenset((*POSTS, *GETS))


def application(
    served: Served,
    *,
    token: str | None,
    hosts: tuple[str, ...] | None,
    origins: tuple[str, ...],
    report: Callable[[str], None],
) -> Application:
    """Return the ASGI application of a served model.

    Parameters
    ----------
    served
        The model.
    token, hosts
        As `Guard` takes them.
    origins
        Origins of web pages that may call it.
    report
        Called with the trace of an error.
    """
    app = FastAPI(
        title=f"Plasmodia: {served.name}",
        description="A model that continues sequences, or answers examples. Errors are JSON: {'error': sentence}.",
        docs_url=None,  # which load scripts from another host
        redoc_url=None,
    )
    for path, (endpoint, kind, text) in POSTS.items():
        _post(app, served, path, endpoint, kind, text)
    _gets(app, served)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused), "what it is registered for"
        return refusal(error)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "what it is registered for"
        told = {
            404: f"there is no such path; there are {', '.join(sorted(PATHS))}",
            405: "the path has another method; see /docs",
        }
        return reply({"error": told.get(error.status_code, str(error.detail))}, error.status_code)

    async def broken(request: Request, error: Exception) -> Response:
        return refusal(Refused(500, BROKEN))  # the guard tells the trace to who runs the server

    app.add_exception_handler(Exception, broken)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(HTTPException, unknown)
    guarded: Application = Guard(
        app,
        token=token,
        hosts=hosts,
        max_body=served.limits.max_body,
        report=report,
        count=served.metrics.answered,
    )
    if origins:
        guarded = CORSMiddleware(  # outside: a browser asks for leave without the token
            guarded,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return guarded


def _post(
    app: FastAPI, served: Served, path: str, endpoint: Endpoint, kind: type[Section], text: str
) -> None:
    content: dict[str, Any] = {"schema": kind.model_json_schema()}
    if kind is InferRequest and why_not_continued(served.signature) is None:
        content["example"] = EXAMPLES[served.signature.tokens]

    async def answer(request: Request) -> Response:
        return await endpoint(served, request)

    app.add_api_route(
        path,
        answer,
        methods=["POST"],
        name=path.strip("/").replace("/", "_"),
        description=text,
        response_model=None,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": content}}},
    )


def _gets(app: FastAPI, served: Served) -> None:
    @app.get("/health", response_model=None, description="Whether the server lives.")
    async def health() -> Response:
        alive = served.service.alive
        return reply({"status": "ok" if alive else "the engine has ended"}, 200 if alive else 503)

    @app.get("/ready", response_model=None, description="Whether requests are taken on.")
    async def ready() -> Response:
        taken = served.service.alive and not served.service.draining
        return reply({"ready": taken}, 200 if taken else 503)

    @app.get("/stats", response_model=None, description="Requests, cache, batches and limits so far.")
    async def statistics() -> Response:
        return reply(stats(served))

    @app.get("/metrics", response_model=None, description="The same in Prometheus' text format.")
    async def metrics() -> Response:
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", response_model=None, description="The one model, in OpenAI's form.")
    async def models() -> Response:
        model = {"id": served.name, "object": "model", "owned_by": "plasmodia"}
        return reply({"object": "list", "data": [model]})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(pages.page(app.openapi()))
