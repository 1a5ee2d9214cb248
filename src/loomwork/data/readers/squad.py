"""SQuAD files, of versions 1.1 and 2.0, and all that have their form (XQuAD, MLQA): a question is a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers.text import not_utf8, too_large

EXTENSIONS = (".squad",)
SHOWN = 2000  # characters of what could not be read
FORM = 'it looks like {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [...]}]}]}'


def read(file: SourceFile) -> Iterator[Chunk]:
    """Rows of `id`, `title`, `question`, `context` and `answers`, {text: [...], answer_start: [...]}.

    A question without an answer in its text has empty lists. Places are the numbers of questions, from 1.
    """
    with file.open_utf8() as stream:
        content, whole = stream.read(file.limits.row_bytes)
    if not whole:
        yield Chunk(faults=[too_large(0, content, file.limits.row_bytes)])
        return
    try:
        articles = json.loads(content.decode("utf-8"))["data"]
        assert isinstance(articles, list)
    except UnicodeDecodeError as error:
        yield Chunk(faults=[Fault(0, not_utf8(error))])
    except (ValueError, RecursionError, KeyError, TypeError, AssertionError) as error:
        why = f"{type(error).__name__}: {error}".strip(" :")
        yield Chunk(faults=[Fault(0, f"no SQuAD file: {why}; {FORM}", content[:SHOWN].decode("utf-8", "replace"))])
    else:
        yield from in_chunks(_questions(articles))


def _questions(articles: list[Any]) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    number = 0
    for article in articles:
        title = str(article.get("title") or "") if isinstance(article, dict) else ""
        for paragraph in _list(article, "paragraphs"):
            for asked in _list(paragraph, "qas"):
                number += 1
                try:
                    yield number, _row(title, paragraph, asked)
                except (KeyError, TypeError, ValueError) as error:
                    yield number, Fault(number, f"no question: {error!r}", json.dumps(asked, default=str)[:SHOWN])


def _list(value: Any, name: str) -> list[Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, list) else [None]


def _row(title: str, paragraph: Any, asked: Any) -> dict[str, Any]:
    given = asked["answers"]
    texts, starts = [a["text"] for a in given], [int(a["answer_start"]) for a in given]
    fields = {"id": asked["id"], "title": title, "question": asked["question"], "context": paragraph["context"]}
    for name, value in (*fields.items(), *(("text", t) for t in texts)):
        if not isinstance(value, str):
            raise TypeError(f"{name} is no text")
    return {**fields, "answers": {"text": texts, "answer_start": starts}}
