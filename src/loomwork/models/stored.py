"""What a safetensors file holds, from its header alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from loomwork.core.errors import InputError

MOST_HEADER_BYTES = 100_000_000  # as the format's own reader has it


def header(file: Path) -> dict[str, dict[str, Any]]:
    """Of each tensor its `dtype`, `shape` and place.

    Source: the safetensors format, https://github.com/huggingface/safetensors#format.
    """
    with open(file, "rb") as stream:
        found: dict[str, dict[str, Any]] = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    found.pop("__metadata__", None)
    return found


def check_stored(file: Path) -> None:
    """Refuse a file that is cut off, or is none of this format.

    Raises:
        InputError: its tensors are not all there.
    """
    size = file.stat().st_size
    try:
        with open(file, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        if length > MOST_HEADER_BYTES:
            raise ValueError("no length of a header")
        tensors = header(file).values() if length < size else ()
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(f"{file} is no safetensors file", "get the file again") from None
    if end != size:
        raise InputError(f"{file} is cut off, or damaged: it has {size:,} bytes of {end:,}", "get the file again")


def stored_numbers(file: Path) -> int:
    """How many numbers it holds."""
    return sum(math.prod(tensor["shape"]) for tensor in header(file).values())
