"""Keys that a step needs and nobody may see: read from environment variables, never from settings.

The ledger gets the variable's name and, for the cache key, an id of its value that tells two keys apart and nothing
more: scrypt makes each guess cost milliseconds and 16 MB, and keys that can be guessed are refused.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote

from loomwork.core.errors import InputError, without_secrets

FEWEST_CHARS, FEWEST_BITS = 24, 80.0
VARIABLE = re.compile(r"\$\{(\w+)\}")
URL_HINT = "write ${NAME} in place of the secret: an environment variable that holds it; in a shell, in single quotes"
HINT = "make one with: export {}=$(openssl rand -hex 32), and keep it: another key gives other results"


def read_secret(variable: str) -> bytes:
    """The key in an environment variable.

    Args:
        variable: its name.

    Raises:
        InputError: it is not set, or its value could be guessed (short, or of few different characters).
    """
    value = os.environ.get(variable, "")
    hint = HINT.format(variable if variable.isidentifier() else "MY_KEY")
    if not variable.isidentifier():
        raise InputError("a key is given by the name of an environment variable, and this is no name", hint)
    if not value:
        raise InputError(f"the environment variable {variable} is not set; it must hold the key", hint)
    bits = -sum(n * math.log2(n / len(value)) for n in Counter(value).values())
    if len(value) < FEWEST_CHARS or bits < FEWEST_BITS:
        size = f"{len(value)} characters and at most {bits:.0f} bits"
        raise InputError(
            f"the key in {variable} could be guessed: it has {size}, needed are {FEWEST_CHARS} and {FEWEST_BITS:.0f}",
            hint,
        )
    return value.encode("utf-8", "surrogateescape")


def secret_id(variable: str) -> str:
    """16 hexadecimal digits that differ for different keys, from which the key cannot be computed.

    Raises:
        InputError: as for `read_secret`.

    Source: RFC 7914 (scrypt).
    """
    return _id(read_secret(variable))


def require_no_secret(url: str, what: str = "a URL") -> None:
    """Refuse a URL that holds a password, a key or a token itself: settings are stored.

    Raises:
        InputError: it does. One that is only ${NAME} is none.
    """
    bare = VARIABLE.sub("", url).replace(":@", "@")  # a password that is only a variable leaves nothing
    if without_secrets(bare) != bare:
        raise InputError(f"{what} holds a password, a key or a token, which would be stored: {url}", URL_HINT)


def _quoted(value: str) -> str:
    return quote(value, safe="")


def filled(url: str, values: list[str], *, encode: Callable[[str], str] = _quoted) -> str:
    """The URL with the values of its ${NAME} variables, which are also put into `values`, to be `hidden`.

    Args:
        encode: how a value is written in the URL.

    Raises:
        InputError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], "")
        if not found:
            raise InputError(f"the environment variable {match[1]} is not set; the URL {url} names it", URL_HINT)
        values.append(found)
        return encode(found)

    return VARIABLE.sub(value, url)


def hidden(text: str, values: list[str]) -> str:
    """The text without these values, as they are and as URLs write them."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***").replace(quote(value, safe=""), "***")
    return text


@functools.lru_cache(8)
def _id(value: bytes) -> str:
    return hashlib.scrypt(value, salt=b"loomwork key id", n=1 << 14, r=8, p=1, dklen=8).hex()
