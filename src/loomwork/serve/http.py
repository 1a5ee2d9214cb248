"""Plain ASGI helpers: bounded bodies, JSON answers, event streams, and work that ends when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from typing import Any

from loomwork.serve.openai_schema import ApiError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
BODY_SECONDS = 30.0  # a body that takes longer than this to come is refused


class Gone(Exception):
    """The client has left."""


def header(scope: Scope, name: bytes) -> str:
    """A request header, or ""."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def read_json_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body of a request.

    Raises:
        ApiError: 413 above the limit, 415 if it does not say that it is JSON, 408 if it does not come.
        Gone: the client left before its end.
    """
    if header(scope, b"content-type").partition(";")[0].strip().lower() != "application/json":
        # What a browser sends to another site without asking first is never JSON: this keeps strange pages out.
        raise ApiError(415, "send JSON, with the header content-type: application/json", "unsupported_media_type")
    too_large = ApiError(413, f"the body is larger than {limit_bytes} bytes: send less at once", "body_too_large")
    length = header(scope, b"content-length")
    if length.isdigit() and int(length) > limit_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                body += message.get("body", b"")
                if len(body) > limit_bytes:
                    raise too_large
                more = message.get("more_body", False)
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {BODY_SECONDS:.0f} s", "body_timeout") from None
    return bytes(body)


async def while_there(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Await work, but cancel it when the client leaves.

    Raises:
        Gone: the client left.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        for task in (working, leaving):
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_json(send: Send, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    sent = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    await send(_start(status, sent))
    await send({"type": "http.response.body", "body": body})


class EventStream:
    """Server-sent events; the answer starts with the first one, so that what fails before is a plain error."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False

    async def put(self, value: Any) -> None:
        await self.put_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    async def put_text(self, text: str) -> None:
        if not self.started:
            self.started = True
            headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
            await self._send(_start(200, headers | {"x-accel-buffering": "no"}))
        await self._send({"type": "http.response.body", "body": f"data: {text}\n\n".encode(), "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})


def _start(status: int, headers: dict[str, str]) -> dict[str, Any]:
    pairs = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}
