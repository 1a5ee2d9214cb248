"""/v1/embeddings, /v1/completions and /v1/chat/completions, as plain ASGI applications."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.errors import InputError
from loomwork.serve.events import Event
from loomwork.serve.http import EventStream, Gone, Receive, Scope, Send, read_json_body, send_json, while_there
from loomwork.serve.openai_schema import ApiError, Chat, Completion, Embeddings, Request, Sampling, parse
from loomwork.serve.pinned import Pinned
from loomwork.serve.worker import Busy, Stopping, Worker

if TYPE_CHECKING:
    from loomwork.models.decoder import Decoder
    from loomwork.models.encoder import Encoder

EMBED_TEXTS = 64  # embedded in one turn of the worker
COMPLETION_TOKENS = 16  # what OpenAI's completions give when max_tokens is not set
log = logging.getLogger("loomwork.serve")


@dataclass(frozen=True)
class Embedded:
    vectors: np.ndarray  # (texts, dim) float32
    tokens: int


@dataclass(frozen=True)
class Said:
    """A piece of the text of one prompt; the last one of a prompt has `finish`, and the counts of its tokens."""

    prompt: int
    text: str
    finish: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0


@dataclass(frozen=True)
class Endpoint:
    """A POST of JSON. One for each of the API's paths, told apart by `kind`."""

    kind: type[Request]
    pinned: Pinned
    worker: Worker
    limit_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        event: Event = scope["loomwork.event"]
        stream = EventStream(send)
        try:
            body = await read_json_body(scope, receive, self.limit_bytes)
            await while_there(receive, self._answer(body, event, send, stream))
        except Gone:
            event.finish = "cancelled"
        except asyncio.CancelledError:  # the server stops and waits no longer: say so, and let the request end here
            event.finish = "cancelled"
            await _tell(Stopping(), event, send, stream)

    async def _answer(self, body: bytes, event: Event, send: Send, stream: EventStream) -> None:
        try:
            request = parse(self.kind, body)
            if not self.pinned.is_called(request.model):
                name = self.pinned.name
                raise ApiError(
                    404, f"there is no model {request.model!r} here, only {name!r}", "model_not_found", "model"
                )
            event.artifact = self.pinned.model.id
            if isinstance(request, Embeddings):
                await self._embed(request, event, send)
            else:
                await self._generate(request, event, send, stream)
        except Exception as error:
            await _tell(error, event, send, stream)

    async def _embed(self, request: Embeddings, event: Event, send: Send) -> None:
        encoder = self.pinned.encoder
        if encoder is None:
            raise cannot(self.pinned, "is a decoder: it generates text and has no embeddings", "/v1/completions")
        async with self.worker.pieces(lambda: embedded(encoder, request.texts)) as pieces:
            parts = [part async for part in pieces]
        event.prompt_tokens = sum(part.tokens for part in parts)
        event.items, event.text = len(request.texts), {"input": request.texts}
        spell = _base64 if request.encoding_format == "base64" else _numbers
        vectors = [spell(vector) for part in parts for vector in part.vectors]
        usage = {"prompt_tokens": event.prompt_tokens, "total_tokens": event.prompt_tokens}
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        await send_json(send, 200, {"object": "list", "data": data, "model": request.model, "usage": usage})

    async def _generate(self, request: Any, event: Event, send: Send, stream: EventStream) -> None:
        decoder = self.pinned.decoder
        if decoder is None:
            raise cannot(self.pinned, "is an encoder: it makes embeddings and generates no text", "/v1/embeddings")
        chat = isinstance(request, Chat)
        event.streamed = bool(request.stream)
        form = Form(f"{'chatcmpl' if chat else 'cmpl'}-{event.id}", request.model, chat, int(time.time()))
        heard: dict[int, list[Said]] = {}
        async with self.worker.pieces(lambda: said(decoder, request)) as pieces:
            async for piece in pieces:
                event.mark_first()
                heard.setdefault(piece.prompt, []).append(piece)
                event.prompt_tokens += piece.prompt_tokens
                event.new_tokens += piece.new_tokens
                if request.stream:
                    await stream.put(form.chunk(piece, first=len(heard[piece.prompt]) == 1))
        texts = ["".join(p.text for p in parts) for parts in heard.values()]
        ends = [parts[-1].finish for parts in heard.values()]
        event.items, event.finish = len(texts), ends[0]
        event.text = {"input": request.model_dump(include={"messages", "prompt"}), "output": texts}
        usage = {"prompt_tokens": event.prompt_tokens, "completion_tokens": event.new_tokens}
        usage["total_tokens"] = sum(usage.values())
        if not request.stream:
            await send_json(send, 200, form.whole(texts, ends, usage))
            return
        if request.stream_options and request.stream_options.include_usage:
            await stream.put(form.body([], chunk=True) | {"usage": usage})
        await stream.put_text("[DONE]")
        await stream.end()


@dataclass(frozen=True)
class Form:
    """How completions are written: as text or as a chat, whole or in chunks."""

    id: str
    model: str
    chat: bool
    created: int

    def body(self, choices: list[dict[str, Any]], *, chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def whole(self, texts: list[str], ends: list[str], usage: dict[str, int]) -> dict[str, Any]:
        choices: list[dict[str, Any]] = []
        for index, (text, end) in enumerate(zip(texts, ends, strict=True)):
            said = {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
            choices.append({"index": index, **said, "finish_reason": end, "logprobs": None})
        return self.body(choices, chunk=False) | {"usage": usage}

    def chunk(self, piece: Said, *, first: bool) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": piece.prompt, "finish_reason": piece.finish or None, "logprobs": None}
        if not self.chat:
            choice["text"] = piece.text
        else:
            choice["delta"] = ({"role": "assistant"} if first else {}) | (
                {} if piece.finish else {"content": piece.text}
            )
        return self.body([choice], chunk=True)


def embedded(encoder: Encoder, texts: list[str]) -> Iterator[Embedded]:
    """The vectors of texts, a turn's worth at a time. Runs in the worker's thread."""
    from loomwork.models.encoder import encode

    for start in range(0, len(texts), EMBED_TEXTS):
        chunk = texts[start : start + EMBED_TEXTS]
        tokens = sum(map(len, encode(encoder.tokenizer, chunk, encoder.about.max_tokens)))
        yield Embedded(encoder.embed(chunk), tokens)


def said(decoder: Decoder, request: Sampling) -> Iterator[Said]:
    """The pieces of a completion. Runs in the worker's thread; every prompt is checked before the first piece."""
    sampling: dict[str, Any] = {
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "seed": request.seed,
        "stop": list(request.stops),
    }
    most = request.max_tokens
    if isinstance(request, Chat):
        most = request.max_completion_tokens if request.max_completion_tokens is not None else most
        most = decoder.context_tokens if most is None else most
        made = [decoder.chat([message.plain() for message in request.messages], max_tokens=most, **sampling)]
    else:
        assert isinstance(request, Completion)
        most = COMPLETION_TOKENS if most is None else most
        made = [decoder.generate(prompt, max_tokens=most, **sampling) for prompt in request.prompts]
    for number, generation in enumerate(made):
        for text in generation:
            yield Said(number, text)
        yield Said(number, "", generation.finish, generation.prompt_tokens, generation.new_tokens)


async def _tell(error: Exception, event: Event, send: Send, stream: EventStream) -> None:
    """Answer with an error; in a stream that has begun, as its last event."""
    problem = as_api_error(error)
    event.error = problem.code
    if stream.started:
        await stream.put(problem.body())
        await stream.end()
    else:
        await send_json(send, problem.status, problem.body(), retry_header(problem))


def as_api_error(error: Exception) -> ApiError:
    """Any error as the API tells it; what we did not foresee goes into the log, not to the client."""
    match error:
        case ApiError():
            return error
        case InputError():
            return ApiError(400, f"{error.what}{': ' if error.hint else ''}{error.hint}", "invalid_value")
        case Busy():
            return ApiError(503, "too many requests are waiting: try again in a moment", "busy")
        case Stopping():
            return ApiError(503, "the service is being stopped", "stopping")
    log.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed on this request; its log says why", "internal_error")


def retry_header(problem: ApiError) -> dict[str, str]:
    return {"retry-after": "1"} if problem.status == 503 else {}


def cannot(pinned: Pinned, why: str, instead: str) -> ApiError:
    return ApiError(400, f"the model {pinned.name!r} {why}; use {instead}", "unsupported_by_model", "model")


def _numbers(vector: np.ndarray) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
