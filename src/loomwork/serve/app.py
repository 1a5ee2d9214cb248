"""A service as an ASGI application: an OpenAI-compatible API, a search page, and a record of every request."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.serve.events import FILE, EventLog
from loomwork.serve.guard import PAGE, Guard
from loomwork.serve.openai_api import Endpoint, as_api_error, retry_header
from loomwork.serve.openai_schema import ApiError, Chat, Completion, Embeddings, Request
from loomwork.serve.pinned import Pinned, pin
from loomwork.serve.search_page import policy, render
from loomwork.serve.worker import Busy, Stopping, Worker

REFRESH_SECONDS = 10.0  # how soon a service sees that it is stale, or that its name has moved
MAX_PASSAGES = 50
MAX_QUESTION = 2000  # characters
MEBIBYTE = 1 << 20
PATHS: dict[str, type[Request]] = {
    "/v1/embeddings": Embeddings,
    "/v1/completions": Completion,
    "/v1/chat/completions": Chat,
}
Question = Annotated[str, Query(max_length=MAX_QUESTION)]
Count = Annotated[int, Query(ge=1, le=MAX_PASSAGES)]
log = logging.getLogger("loomwork.serve")


def build_app(
    home: Home,
    name: str,
    *,
    api_key: str = "",
    log_text: bool = False,
    max_requests: int = 64,
    max_body_bytes: int = 8 * MEBIBYTE,
) -> Guard:
    """Open what a name means now, and make the application that serves it.

    Args:
        home: where names, artifacts and the service's database are.
        name: of a model or an index; pinned to the artifacts that it means now.
        api_key: what clients must show; "" answers only requests for a loopback host.
        log_text: keep the text of requests and answers in the service's database.
        max_requests: how many may be computing or waiting; one more gets 503.
        max_body_bytes: of one request.

    Raises:
        InputError: there is no such name, or it cannot be served.
    """
    pinned = pin(home, name)
    events = EventLog(home.root / FILE, keep_text=log_text)
    worker = Worker(most=max_requests)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        worker.start()
        refreshing = asyncio.create_task(_refresh(pinned))
        yield
        refreshing.cancel()
        with suppress(asyncio.CancelledError):
            await refreshing
        await asyncio.to_thread(worker.stop)
        await asyncio.to_thread(events.close)

    # Without its own documentation pages: they load scripts from another site.
    app = FastAPI(title="Loomwork", lifespan=lifespan, openapi_url=None)
    for path, kind in PATHS.items():
        app.router.routes.append(Route(path, Endpoint(kind, pinned, worker, max_body_bytes), methods=["POST"]))
    _add_pages(app, pinned, worker)
    app.add_exception_handler(RequestValidationError, _bad_query)
    app.add_exception_handler(HTTPException, _http_error)
    for kind_of_error in (ApiError, Busy, Stopping, InputError, Exception):
        app.add_exception_handler(kind_of_error, _failed)
    return Guard(app, pinned, events, api_key)


def _add_pages(app: FastAPI, pinned: Pinned, worker: Worker) -> None:
    app.state.pinned = pinned

    @app.get("/")
    def root() -> Response:
        return RedirectResponse(PAGE if pinned.answers else "/v1/models")

    @app.get("/health")
    async def health() -> Any:
        return {"status": "ok", "name": pinned.name, **pinned.artifacts, "open_requests": worker.open,
                "stale": pinned.is_stale, "remarks": pinned.remarks}  # fmt: skip

    @app.get("/v1/models")
    async def models() -> Any:
        return {"object": "list", "data": [_model(pinned)]}

    @app.get("/v1/models/{model:path}")
    async def model(model: str) -> Any:
        if not pinned.is_called(model):
            raise ApiError(404, f"there is no model {model!r} here, only {pinned.name!r}", "model_not_found", "model")
        return _model(pinned)

    @app.get("/search.json")
    async def search_json(request: HttpRequest, q: Question, k: Count = 5) -> Response:
        hits = await _search(request, worker, pinned, q, k)
        found = [{"row_id": h.row_id, "score": h.score, "text": h.text, "columns": h.columns} for h in hits]
        return _json({"object": "list", "query": q, **pinned.artifacts, "data": found})

    @app.get(PAGE)
    async def search(request: HttpRequest, q: Question = "", k: Count = 5) -> Response:
        try:
            hits = await _search(request, worker, pinned, q, k) if q.strip() else None
        except Exception as error:
            problem = as_api_error(error)
            request.scope["loomwork.event"].error = problem.code
            return _page(pinned, q, k, problem=problem)
        if pinned.answers is None:
            return _page(pinned, q, k, problem=_no_index(pinned))
        return _page(pinned, q, k, hits)


async def _search(request: HttpRequest, worker: Worker, pinned: Pinned, query: str, k: int) -> Any:
    answers, event = pinned.answers, request.scope["loomwork.event"]
    if answers is None:
        raise _no_index(pinned)
    event.artifact = answers.index.id
    hits = await worker.once(lambda: answers.ask(query, k))
    event.items, event.row_ids = len(hits), [hit.row_id for hit in hits]
    event.text = {"input": query}
    return hits


def _no_index(pinned: Pinned) -> ApiError:
    bare = pinned.name.partition("@")[0]
    return ApiError(404, f"{pinned.name!r} has no index to search: there is no name {bare}@index", "no_index")


def _page(pinned: Pinned, query: str, k: int, hits: Any = None, problem: ApiError | None = None) -> Response:
    html = render(pinned, query, hits, k, problem.message if problem else "")
    headers = {"content-security-policy": policy(), "referrer-policy": "no-referrer", "cache-control": "no-store"}
    return HTMLResponse(html, problem.status if problem else 200, headers)


def _model(pinned: Pinned) -> dict[str, Any]:
    return {"id": pinned.name, "object": "model", "created": int(pinned.since), "owned_by": "loomwork",
            "task": "generate" if pinned.decoder else "embed", "artifact": pinned.model.id,
            "stale": pinned.is_stale}  # fmt: skip


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(_without_nan(value), ensure_ascii=False, default=_plain, allow_nan=False)
    return Response(body, status, headers, media_type="application/json")


def _without_nan(value: Any) -> Any:
    """The value with null for what JSON has no number for: a column may hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return [_without_nan(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _told(request: HttpRequest, problem: ApiError) -> Response:
    request.scope["loomwork.event"].error = problem.code
    return _json(problem.body(), problem.status, retry_header(problem))


async def _bad_query(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = str(first["loc"][-1])
    problem = ApiError(400, f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}", "invalid_value", field)
    if request.url.path == PAGE:
        request.scope["loomwork.event"].error = problem.code
        return _page(request.app.state.pinned, request.query_params.get("q", "")[:MAX_QUESTION], 5, problem=problem)
    return _told(request, problem)


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        served = "/v1/models, /v1/embeddings, /v1/completions, /v1/chat/completions, /search, /search.json, /health"
        return _told(request, ApiError(404, f"there is nothing at this path; there is {served}", "not_found"))
    return _told(request, ApiError(error.status_code, str(error.detail), "http_error"))


async def _failed(request: HttpRequest, error: Exception) -> Response:
    return _told(request, as_api_error(error))


async def _refresh(pinned: Pinned) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await asyncio.to_thread(pinned.refresh)
        except Exception as error:  # the ledger may be away for a while: the service goes on
            log.warning("the ledger cannot be asked whether %s is stale: %s", pinned.name, error)
