"""The user's own files, as a dataset."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Gt

from loomwork.core.context import context
from loomwork.core.dataset import DatasetWriter
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.files import STANDARD_INPUT, leads_out, list_sources
from loomwork.core.step import Card, Names, step
from loomwork.data._read_rows import MIXED_SHARE, RowWriter
from loomwork.data._rows import counted
from loomwork.data._sources import Choice, chunks, source_file
from loomwork.data.readers import Chunk, Fault, SourceFile, names, version
from loomwork.data.readers._archives import ARCHIVES
from loomwork.data.readers._unpacked import COMPRESSIONS, Limits

NO_HEADER = "header=no, or columns=[name, name, ...]"
SHOWN_DOUBTS = 10  # files


@step(makes="dataset", version=version())
def read(
    *,
    path: str | Path,
    reader: Annotated[str | None, Names("loomwork.data.readers")] = None,
    text_unit: Literal["file", "page", "paragraph", "line"] = "file",
    encoding: str | None = None,
    header: bool | Literal["auto"] = "auto",
    columns: list[str] | None = None,
    as_text: list[str] | None = None,
    max_row_bytes: Annotated[int, Gt(0)] = Limits.row_bytes,
    max_unpacked_bytes: Annotated[int, Gt(0)] = Limits.unpacked_bytes,
    max_ratio: Annotated[float, Gt(0)] = Limits.ratio,
    out: Path,
) -> Card:
    """Read files of any format that has a reader, also compressed and in archives.

    Columns of tables are kept; a text gives `text`. Every row gets `source`, as "folder/file.jsonl:12" or
    "archive.zip!folder/file.jsonl:12", and `encoding` if its text was not UTF-8; the user's columns `source`, `row_id`
    and `origin_ids` become `given_source` and so on. What cannot be read (cut-off JSON, bytes of no known encoding,
    unknown formats, values of another type than the column's first ones) goes to `dropped` with the reason. The times
    of files are not kept: a copy has another, and the same bytes make the same dataset. A link in a folder or glob is
    followed if it stays inside; one that leads out of it is set aside.

    Args:
        path: a file, a folder with all below it, a glob, a URL (s3://bucket/folder, https://...), or "-" for the
            standard input. A password, key or token in a URL is given as ${NAME} of an environment variable that holds
            it as it is; only the variable's name is stored.
        reader: how the files are read ("json_lines"); by default their extension says it. Archives are opened anyway.
        text_unit: what is a row of a text or document: the whole file (of a web archive, wiki dump or mailbox a page,
            an article, a message), a page (of PDF and EPUB), a paragraph or a line.
        encoding: of all texts ("cp1250"); by default each file's is detected.
        header: of CSV and TSV, whether the first line names the columns ("yes" or "no"). "auto" takes it for names
            unless `columns` are given, and notes on the card where they look like a row's values. Without names the
            columns are `column_1`, `column_2` and so on.
        columns: of CSV and TSV, the columns' names ([label, text]); with header=yes in place of the first line's.
        as_text: columns that hold texts in some rows and numbers in others: all their values are read as texts. Without
            it, values of another type than the column's first ones are set aside, if at most 1 % of the rows have such;
            of more, all is read once more with the column as text.
        max_row_bytes: a longer line, record or text is set aside.
        max_unpacked_bytes: no compressed file or archive is unpacked beyond so many bytes in all.
        max_ratio: nor beyond so many times its size, from 64 MB on.

    Raises:
        InputError: nothing is there, nothing of it could be read, there is no such reader or encoding, or no row has a
            column of `as_text`.
    """
    limits = Limits(max_row_bytes, max_unpacked_bytes, max_ratio)
    _check(reader, encoding, columns)
    chosen = reader or ("text" if str(path) == STANDARD_INPUT else None)
    known = Choice(chosen)
    sources = list_sources(path)

    def files() -> Iterator[tuple[SourceFile, bool]]:
        for name, source in sources:
            file = source_file(source, name, text_unit, encoding, limits)
            file.header, file.columns = header, columns or ()
            yield file, isinstance(source, Path) and leads_out(path, source)

    texts = list(as_text or ())
    while True:
        with DatasetWriter(out) as writer:
            rows = RowWriter(writer, texts)
            doubts = _read(files(), len(sources), known, rows, texts)
        mixed = rows.mixed()
        if not mixed:
            break
        texts += mixed
        for part in out.iterdir():
            shutil.rmtree(part)
        known = Choice(chosen)
    if not writer.counts["data"]:
        why = [f"{n} x {reason} ({rows.first[reason]})" for reason, n in writer.reasons.most_common(3)]
        raise InputError(
            f"nothing could be read from {path} ({len(sources)} files): {'; '.join(why) or 'they are empty'}",
            f"readable are {', '.join(known.extensions)}, also with {', '.join(COMPRESSIONS)}, and in "
            f"{', '.join(ARCHIVES)}; another reader: reader=, another encoding: encoding=",
        )
    if rows.missing:
        lacking = ", ".join(map(repr, sorted(rows.missing)))
        raise InputError(
            f"as_text: no row has a column {lacking}", did_you_mean(min(rows.missing), rows.names, show=30)
        )
    if (header != "auto" or columns) and not known.tables:
        raise InputError(f"header and columns are for CSV and TSV, of which {path} has none", "leave them out")
    card = counted(writer, files=known.files)
    card.notes += [
        f"the first line of {name} was taken for the columns' names, yet {why}; if it is a row: {NO_HEADER}"
        for name, why in list(doubts.items())[:SHOWN_DOUBTS]
    ]
    if widened := texts[len(as_text or ()) :]:
        shown = ", ".join(widened)
        card.notes.append(
            f"{shown} held values of several types in more than {MIXED_SHARE:.0%} of the rows, and was read as text; "
            f"as_text=[{shown}] says so and saves the second reading"
        )
    if rows.clashing:
        card.notes.append(
            f"values of another type than the first ones of {', '.join(rows.clashing)} were set aside; as_text="
            f"[{', '.join(rows.clashing)}] reads all of them as texts"
        )
    if len(doubts) > SHOWN_DOUBTS:
        card.notes.append(f"the same of {len(doubts) - SHOWN_DOUBTS} more files")
    return card


def _read(
    files: Iterator[tuple[SourceFile, bool]], count: int, known: Choice, rows: RowWriter, as_text: list[str]
) -> dict[str, str]:
    """Write the rows of all files. Returns by file why its header may be none."""
    doubts: dict[str, str] = {}
    for done, (given, leads_outside) in enumerate(files):
        given.as_text = as_text
        if leads_outside:
            rows.write(Chunk(faults=[Fault(0, "refused: a link that leads out of the folder")]), given)
            continue
        for file, chunk in chunks(given, known):
            rows.write(chunk, file)
            doubts |= {file.name: file.doubt} if file.doubt else {}
        context().progress(done + 1, count, "files")
    return doubts


def _check(reader: str | None, encoding: str | None, columns: list[str] | None) -> None:
    if reader is not None and reader not in names():
        raise InputError(f"there is no reader {reader!r}", did_you_mean(reader, names(), show=30))
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise InputError(f"there is no encoding {encoding!r}", "as in utf-8, cp1252, gb18030, shift_jis") from None
    if columns is not None and (not columns or "" in columns or len(set(columns)) < len(columns)):
        raise InputError(f"columns: no name, an empty one or one twice: {columns}", "as in columns=[label, text]")
