"""What every request passes first: who may ask, what is recorded, and what every answer carries."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import time
from dataclasses import dataclass
from typing import Any

from loomwork.core.errors import InputError
from loomwork.serve.events import Event, EventLog
from loomwork.serve.http import Receive, Scope, Send, header, send_json
from loomwork.serve.openai_api import as_api_error
from loomwork.serve.openai_schema import ApiError
from loomwork.serve.pinned import Pinned

PAGE = "/search"  # a browser has no bearer token: here the key may come as the password of HTTP Basic
HEALTH = "/health"  # open to everyone, and not recorded: a probe asks it every few seconds
LEFT = 499  # the client left before an answer


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host name or address."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_exposure(host: str, api_key: str) -> None:
    """Refuse to be reached from other machines without a key.

    Raises:
        InputError: the host is not loopback and there is no key.
    """
    if not is_loopback(host) and not api_key:
        raise InputError(
            f"{host} can be reached from other machines, and there is no API key",
            "set LOOMWORK_API_KEY (or --api-key), or leave --host out to serve this machine only",
        )


@dataclass(frozen=True)
class Guard:
    """The outermost application.

    Args:
        app: everything else.
        pinned: what is served.
        events: where requests are recorded.
        api_key: what clients must show; "" for none, and then only requests for a loopback host are answered: a
            strange web page cannot reach us by pointing its own name here (DNS rebinding).
    """

    app: Any
    pinned: Pinned
    events: EventLog
    api_key: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        event = Event(service=self.pinned.name, route=scope["path"][:200], artifact=self.pinned.model.id)
        scope["loomwork.event"] = event

        async def send_marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                event.status = message["status"]
                message["headers"] = [*message.get("headers", []), *self._marks(event)]
            await send(message)

        try:
            self._admit(scope)
            await self.app(scope, receive, send_marked)
        except Exception as error:
            if not event.status:  # else the application has told the client
                problem = as_api_error(error)
                event.error = problem.code
                asks = {"www-authenticate": 'Basic realm="loomwork"'} if scope["path"] == PAGE else {}
                await send_json(send_marked, problem.status, problem.body(), asks if problem.status == 401 else None)
        finally:
            event.seconds = time.perf_counter() - event.began
            event.status = event.status or LEFT
            if scope["path"] != HEALTH:
                self.events.add(event)

    def _admit(self, scope: Scope) -> None:
        if not self.api_key:
            host = header(scope, b"host")
            bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
            if not is_loopback(bare):
                raise ApiError(
                    421, f"this service answers to 127.0.0.1 and localhost, not to {host[:100]!r}", "wrong_host"
                )
        elif scope["path"] != HEALTH and not hmac.compare_digest(_shown(scope).encode(), self.api_key.encode()):
            raise ApiError(401, "give the API key of this service: Authorization: Bearer KEY", "invalid_api_key")

    def _marks(self, event: Event) -> list[tuple[bytes, bytes]]:
        marks = [
            (b"x-loomwork-artifact", event.artifact.encode()),
            (b"x-request-id", event.id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        return [*marks, (b"x-loomwork-stale", b"yes")] if self.pinned.is_stale else marks


def _shown(scope: Scope) -> str:
    """The key that a request shows, or ""."""
    scheme, _, value = header(scope, b"authorization").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic" and scope["path"] == PAGE:
        try:
            return base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except ValueError:
            return ""
    return ""
