"""CoNLL files: a word and its tag a line, an empty line after each sentence. A sentence is a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loomwork.data.readers import Chunk, Fault, SourceFile, in_chunks
from loomwork.data.readers._decoded import Utf8Stream
from loomwork.data.readers.text import not_utf8, shown, too_large

EXTENSIONS = (".conll",)
DOCUMENT = "-DOCSTART-"
Lines = list[tuple[int, bytes]]  # of one sentence, with their numbers


def read(file: SourceFile) -> Iterator[Chunk]:
    """Rows of `tokens` (the first column), `tags` (the last one) and `document`, the number of -DOCSTART- lines before.

    Columns are parted by tabs, or by spaces where a line has no tab. A sentence with a line that is no word and tag is
    set aside whole: without the word it would be another sentence.
    """
    with file.open_utf8() as stream:
        yield from in_chunks(_sentences(stream, file.limits.row_bytes))


def _sentences(stream: Utf8Stream, most: int) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    waiting: Lines = []
    size = document = 0
    for number, content, length in stream.lines(most):
        opens = content.startswith(DOCUMENT.encode())
        if content.strip() and not opens:
            size += length
            if size <= most or not waiting:
                waiting.append((number, content))
            continue
        if waiting:
            yield _sentence(waiting, document, size, most)
            waiting, size = [], 0
        document += opens
    if waiting:
        yield _sentence(waiting, document, size, most)


def _sentence(lines: Lines, document: int, size: int, most: int) -> tuple[int, dict[str, Any] | Fault]:
    start = lines[0][0]
    whole = b"\n".join(content for _, content in lines)
    if size > most:
        return start, too_large(start, whole, most, "an empty line ends a sentence; or raise max_row_bytes")
    tokens, tags = [], []
    for number, content in lines:
        try:
            line = content.decode("utf-8")
        except UnicodeDecodeError as error:
            return start, Fault(number, not_utf8(error, " of the line"), shown(whole))
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 2 or not columns[0] or not columns[-1].strip():
            return start, Fault(number, f"no word and tag: {line[:60]!r}", shown(whole))
        tokens.append(columns[0])
        tags.append(columns[-1].strip())
    return start, {"tokens": tokens, "tags": tags, "document": document}
