"""What the tests of reading share."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from loomwork.core.dataset import Dataset

OURS = ("row_id", "origin_ids")


def rows_of(data: Dataset, part: str = "data") -> list[dict[str, Any]]:
    """The rows of a part, without the columns that every dataset has; none where there is no such part."""
    if part not in data.parts:
        return []
    return [{k: v for k, v in r.items() if k not in OURS} for r in data.select(part).rows()]


def texts(data: Dataset) -> list[tuple[str, str]]:
    """The source and the text of every row."""
    return [(r["source"], r["text"]) for r in rows_of(data)]


def reasons(data: Dataset) -> list[tuple[str, str]]:
    """The source and the reason, before its first colon, of what was set aside."""
    return [(r["source"], r["reason"].split(":")[0]) for r in rows_of(data, "dropped")]


def zipped(path: Path, **members: bytes) -> Path:
    """A zip with members of those names, "__" for a dot."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return path
