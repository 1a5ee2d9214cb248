"""The front matter of Markdown files: YAML between two lines of "---" at the very beginning.

Source: Jekyll, Front matter; the same is read by Hugo, Pandoc, Obsidian and MkDocs.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

BLOCK = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
MOST_CHARS = 1 << 16
# What other formats call it, and the keys that say it, the first that is there.
COLUMNS = {
    "title": ("title",),
    "author": ("author", "authors"),
    "date": ("date", "published"),
    "language": ("language", "lang"),
    "licence": ("licence", "license"),
    "url": ("url", "canonical_url", "permalink"),
}


def with_front_matter(text: str) -> dict[str, Any]:
    """A row of a Markdown text: what its front matter says in columns, all of it as it stands in `front_matter`, and
    the text behind it. What is no mapping of keys in YAML is text like all else.
    """
    import yaml

    found = BLOCK.match(text[:MOST_CHARS])
    if not found or not text[found.end() :].strip():
        return {"text": text}
    try:
        said = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: the 31st of February
        return {"text": text}
    if not isinstance(said, dict):
        return {"text": text}
    row: dict[str, Any] = {"text": text[found.end() :].lstrip("\r\n"), "front_matter": found[1]}
    for column, keys in COLUMNS.items():
        value = next((written for key in keys if (written := _written(said.get(key)))), "")
        if value:
            row[column] = value
    return row


def _written(value: Any) -> str:
    """A value as a text, a list's items with commas; "" for what is neither."""
    if isinstance(value, list):  # lists within it are left: aliases make them as large as one likes
        return ", ".join(filter(None, (_written(item) for item in value if not isinstance(item, list | dict))))
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
