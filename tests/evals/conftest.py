"""Real inputs of the evaluation tests: Cranfield abstracts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def cranfield(test_data: Path) -> list[dict[str, Any]]:
    """Titles as queries, the abstracts below them as passages, authors as clusters."""
    text = (test_data / "retrieval" / "cranfield" / "cran.all.1400.xml").read_text(errors="replace")
    rows = []
    for document in re.findall(r"<doc>(.*?)</doc>", text, re.S):
        field = {name: " ".join(value.split()) for name, value in re.findall(r"<(\w+)>(.*?)</\1>", document, re.S)}
        title = field.get("title", "")
        body = field.get("text", "").removeprefix(title).strip()
        if title and body:
            rows.append({"query": title, "passage": body, "author": field.get("author", "")})
    assert len(rows) > 1300
    return rows
