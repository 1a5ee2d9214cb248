"""Texts that a rule learns from: a file of any readable format, a folder of such files, or a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.files import list_files


def example_texts(path: Path, column: str, asked: str) -> Iterator[str]:
    """The texts, one after the other; those without a character but white space are left out.

    Args:
        path: a file, a folder with all below it, a glob, or the folder of a dataset. A text file gives its paragraphs.
        column: of tables and datasets, where the text is.
        asked: the rule and its setting, for messages.

    Raises:
        InputError: a file cannot be read, or has no such column.
    """
    if (path / "manifest.json").is_file():
        data = Dataset(path)
        data.require(column)
        for batch in data.batches([column]):
            yield from (text for text in batch.column(0).to_pylist() if text and text.strip())
        return
    for name, file in list_files(path):
        for row in _rows(name, file, asked):
            text = row.get(column)
            if text is None and column not in row:
                raise InputError(f"{asked}: {name} has no column {column!r}", did_you_mean(column, list(row)))
            if isinstance(text, str) and text.strip():
                yield text


def _rows(name: str, path: Path, asked: str) -> Iterator[dict[str, object]]:
    from loomwork.data._sources import Choice, chunks, source_file
    from loomwork.data.readers._unpacked import Limits

    for file, chunk in chunks(source_file(path, name, "paragraph", None, Limits()), Choice(None)):
        for fault in chunk.faults:
            place = f"{file.name}:{fault.place}" if fault.place else file.name
            raise InputError(f"{asked}: {place}: {fault.reason}", "what a rule learns from has to be whole")
        yield from chunk.rows if isinstance(chunk.rows, list) else chunk.rows.to_pylist()
