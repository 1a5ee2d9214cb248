"""Files behind http:// and https://, as streams, with the standard library alone."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from typing import Any, BinaryIO, cast

from loomwork.core.errors import InputError

WAIT_SECONDS = 60.0
BUFFER_BYTES = 1 << 17


def head(url: str) -> dict[str, Any]:
    """What the server says of a file: its `size`, and an `ETag` or a `Last-Modified` where it has them.

    Raises:
        InputError: it is not there, or the server cannot be reached.
    """
    try:
        with _ask(url, "HEAD") as answer:
            headers = dict(answer.headers.items())
    except InputError:
        with _ask(url, "GET") as answer:  # some servers know no HEAD
            headers = dict(answer.headers.items())
    sizes = [value for key, value in headers.items() if key.lower() == "content-length"]
    return {"type": "file", **headers, "size": int(sizes[0]) if sizes else None}


def open_web(url: str) -> BinaryIO:
    """The bytes of a file, from the start. A connection that breaks is an error, never an early end.

    Raises:
        InputError: it is not there, or the server cannot be reached.
    """
    return cast(BinaryIO, io.BufferedReader(_Body(_ask(url, "GET")), BUFFER_BYTES))


def _ask(url: str, method: str) -> Any:
    # "identity": the bytes as they lie there, so that the size is theirs
    request = urllib.request.Request(url, method=method, headers={"Accept-Encoding": "identity"})  # noqa: S310
    try:
        return urllib.request.urlopen(request, timeout=WAIT_SECONDS)  # noqa: S310 (only http and https come here)
    except urllib.error.HTTPError as error:
        raise InputError(f"{url} cannot be read: {error.code} {error.reason}", "check the address") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", error)
        raise InputError(f"{url} cannot be read: {why}", "check the address and the network") from None


class _Body(io.RawIOBase):
    """The body of an answer; raises where it ends too early."""

    def __init__(self, answer: Any) -> None:
        self._answer, self._read = answer, 0
        size = answer.headers.get("Content-Length")
        self._size = int(size) if size else None

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._answer.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._answer.readinto(buffer)
        except http.client.HTTPException as error:
            raise OSError(f"the connection broke after {self._read} bytes: {error!r}") from None
        self._read += count
        if not count and len(buffer) and self._size is not None and self._read < self._size:
            raise OSError(f"the connection ended after {self._read} of {self._size} bytes")
        return int(count)
