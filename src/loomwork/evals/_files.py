"""The official files of benchmarks: read whole, as UTF-8, with errors that say where."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loomwork.core.artifact import digest, file_digest
from loomwork.core.errors import InputError
from loomwork.core.files import list_files


def one_file(path: Path) -> Path:
    """The one file that a path setting means.

    Raises:
        InputError: there is none, or there are several.
    """
    found = [file for _, file in list_files(path)]
    if len(found) != 1:
        raise InputError(f"{path} means {len(found)} files, and one is needed here", "give the path of the file")
    return found[0]


def read_text(path: Path) -> str:
    """A text file, also a gzipped one; a byte-order mark is left out.

    Raises:
        InputError: it cannot be read, is not UTF-8, or is empty.
    """
    file = one_file(path)
    try:
        raw = file.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8",
            "convert the file, as in: iconv -f latin1 -t utf-8",
        ) from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not text.strip():
        raise InputError(f"{path} is empty")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Only a line feed ends a line: other marks may be part of a sentence."""
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def read_json(path: Path) -> tuple[Any, int]:
    """A JSON file, and how many keys in it stand twice in one object; the last one counts.

    Raises:
        InputError: it is not JSON; says where.
    """
    repeated = 0

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated += len(pairs) - len(found)
        return found

    text = read_text(path)
    try:
        found = json.loads(text, object_pairs_hook=as_dict)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        hint = "the file ends too early: was it copied whole?" if cut else ""
        why = error.msg.removesuffix(" at")
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: no JSON: {why}", hint) from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply to be read") from None
    return found, repeated


def digest_of(*paths: Path) -> str:
    """The digest of the bytes of files, whatever their names."""
    digests: Sequence[str] = [file_digest(one_file(path)) for path in paths]
    return digests[0] if len(digests) == 1 else digest(digests)
