"""The requests and answers of the OpenAI API, as far as they are served.

A parameter that would change the answer and is not served is refused, never ignored.
Source: https://platform.openai.com/docs/api-reference (embeddings, completions, chat).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_TEXTS = 2048  # of one embeddings request, as OpenAI has it
MAX_PROMPTS = 64
# Values of unserved parameters that ask for nothing; `user` and the like never change an answer.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "logprobs": (False,), "frequency_penalty": (0,),
    "presence_penalty": (0,), "logit_bias": ({},), "suffix": ("",), "store": (False,), "tools": ([],),
    "tool_choice": ("none", "auto"), "response_format": ({"type": "text"},), "service_tier": ("auto", "default"),
    "modalities": (["text"],),
}  # fmt: skip
LABELS = {"user", "metadata", "safety_identifier", "prompt_cache_key"}

Text = Annotated[str, Field(min_length=1)]


class ApiError(Exception):
    """An error in the API's form.

    Args:
        status: of HTTP.
        message: what happened and what to do.
        code: a stable word for programs.
        param: the parameter that it is about.
    """

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    model: Text


class StreamOptions(BaseModel):
    include_usage: bool = False
    include_obfuscation: bool = False


class Embeddings(Request):
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Sampling(Request):
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    max_tokens: int | None = Field(None, ge=0, le=1 << 20)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class Completion(Sampling):
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)] = ""

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        """As Decoder.chat_prompt takes it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class Chat(Sampling):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=0, le=1 << 20)


def parse(kind: type[Request], body: bytes) -> Any:
    """A request of a kind, from the bytes of its body.

    Raises:
        ApiError: 400; it is not JSON, a value is wrong, or a parameter is not served.
    """
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None
    for name, value in (request.model_extra or {}).items():
        if name not in LABELS and value is not None and value not in NEUTRAL.get(name, ()):
            raise ApiError(400, f"this server does not support {name!r}: leave it out", "unsupported_parameter", name)
    return request


def _invalid(error: ValidationError) -> ApiError:
    errors = error.errors(include_url=False, include_context=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}", "invalid_json")
    # A union's branch is in the place too, under pydantic's name for it: only fields and numbers are for people.
    fields = {*Chat.model_fields, *Completion.model_fields, *Embeddings.model_fields, "role", "content", "text"}
    places = [str(p) for p in first["loc"] if isinstance(p, int) or p in fields]
    param = places[0] if places else None
    in_arrays = [e["input"] for e in errors if e["type"] == "string_type" and any(isinstance(p, int) for p in e["loc"])]
    if param in ("input", "prompt") and any(isinstance(given, int | list) for given in in_arrays):
        return ApiError(400, f"{param}: give text; arrays of token ids are not supported", "invalid_value", param)
    message = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return ApiError(400, f"{'.'.join(places) or 'the body'}: {message}", "invalid_value", param)
