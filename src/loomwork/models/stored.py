"""What a safetensors file holds, from its header alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def header(file: Path) -> dict[str, dict[str, Any]]:
    """Of each tensor its `dtype`, `shape` and place.

    Source: the safetensors format, https://github.com/huggingface/safetensors#format.
    """
    with open(file, "rb") as stream:
        found: dict[str, dict[str, Any]] = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    found.pop("__metadata__", None)
    return found


def stored_numbers(file: Path) -> int:
    """How many numbers it holds."""
    return sum(math.prod(tensor["shape"]) for tensor in header(file).values())
