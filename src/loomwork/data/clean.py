"""Cleaning of a text column."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.ranges import Count, Share
from loomwork.core.step import Card, step
from loomwork.data._cleaning import (
    Boilerplate,
    Counting,
    Learned,
    Tidy,
    check_settings,
    make_speller,
    unknown_words,
    versions,
)
from loomwork.data._rows import counted, keep_cut, refuse_idle, require_text, shard_tables, write_changed
from loomwork.text.clean import Spaces, UnicodeForm, clean_texts
from loomwork.text.markup import Markup

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from loomwork.text.spelling import Speller

COMMON = 5  # documents that make an unknown word a term

SHOWN_WORDS = 30  # that were corrected


@step(makes="dataset", uses=["polars"], version=versions())
def clean(
    data: Dataset,
    *,
    column: str = "text",
    min_chars: Count = 1,
    unicode_form: UnicodeForm = "NFC",
    spaces: Spaces = "keep",
    repair_encoding: bool = False,
    markup: list[Markup] | None = None,
    repeated_lines: Count = 0,
    boilerplate_documents: Count = 0,
    boilerplate_share: Share = 0.0,
    boilerplate_by: str | None = None,
    spelling: bool = False,
    spelling_protected: list[str] | None = None,
    spelling_common: Count | None = None,
    spelling_dictionary: Path | None = None,
    out: Path,
) -> Card:
    """Normalise a text column and drop the rows whose text is empty or too short.

    Always: a Unicode form, one kind of line ending, no control characters, no trailing white space, at most one blank
    line in a row. On request, in this order: wrongly decoded text is repaired, the remains of markup are taken out
    (not in code), lines that stand in many documents of one source or repeat in one document go (to the part `cut`),
    spelling is corrected. Boilerplate and common words are counted in a first pass over the data, in bounded memory.
    A row that was clean is carried as it is; a changed one gets a new id, and its old id as its origin.

    Args:
        data: rows with a text column.
        column: the column to clean.
        min_chars: the shortest text that is kept, in characters after cleaning.
        unicode_form: NFC, or NFKC, which also makes one of ligatures, full-width letters and the like.
        spaces: "single" makes one space of every run of spaces and tabs and takes indentation away.
        repair_encoding: decode again what was decoded with the wrong encoding ("schÃ¶n"), with ftfy.
        markup: take out the remains of "html" (tags, comments, scripts, entities), "markdown" (emphasis, headings,
            links, quotes, rules), or both.
        repeated_lines: how many copies of a line one document keeps; 0 keeps all. Indented lines stay.
        boilerplate_documents: a line that stands in so many documents of one source is taken out; 0 for none. Lines
            are compared with every number read as 0. A text that is nothing else stays whole: it is a copy.
        boilerplate_share: the share of a source's documents that it must also stand in.
        boilerplate_by: the column that tells sources apart; by default the host of `url`, else the file that `source`
            names, or the folder for files that are one row each.
        spelling: correct the spelling of English prose, with symspellpy. Words with capitals, digits or punctuation in
            them stay, and so do code and texts in other languages.
        spelling_protected: words that stay as they are.
        spelling_common: an unknown word that stands in so many documents is a term and stays; 0 corrects these too;
            None for 5.
        spelling_dictionary: a file with "word count" in each line, in place of the English dictionary.

    Raises:
        InputError: the column is missing or no text; a setting cannot be followed, or has no use beside the others.
        MissingDependency: a package is not installed that a setting needs.
    """
    require_text(data, column)
    tidy = Tidy(unicode_form, spaces, tuple(dict.fromkeys(markup or ())), repair_encoding)
    boilerplate = Boilerplate(boilerplate_documents, boilerplate_share, boilerplate_by)
    check_settings(data, tidy, boilerplate)
    if not spelling:
        refuse_idle(
            "spelling is off",
            "turn it on: spelling=true",
            spelling_protected=spelling_protected,
            spelling_common=spelling_common,
            spelling_dictionary=spelling_dictionary,
        )
    common = COMMON if spelling_common is None else spelling_common
    speller = make_speller(spelling_protected or (), spelling_dictionary) if spelling else None
    finish = _Finish(boilerplate, repeated_lines, speller)
    changed = done = 0
    with tempfile.TemporaryDirectory(dir=out) as spill:
        if boilerplate_documents or (speller and common):
            counting = Counting(boilerplate, speller, common)
            _first_pass(data, column, tidy, counting, Path(spill))
            finish.learned = counting.learned()
        with DatasetWriter(out) as writer:
            for number, (shard, table) in enumerate(shard_tables(data)):
                old, new = _texts(table, column), _spilled(Path(spill), number)
                new = finish.texts(tidy.texts(old) if new is None else new, table)
                for reason, lines in finish.cut.items():
                    keep_cut(
                        writer, column, lines["line"], reason, table.column("row_id").take(lines["row"].to_arrow())
                    )
                changed += write_changed(writer, shard, table, column, new, _reasons(new, max(1, min_chars)))
                done += len(table)
                context().progress(done, unit="rows")
    card = counted(writer, rows_changed=changed, **finish.counts)
    card.notes += finish.notes()
    return card


def _texts(table: pa.Table, column: str) -> pl.Series:
    import polars as pl

    return pl.Series(table.column(column)).cast(pl.String).fill_null("")


def _first_pass(data: Dataset, column: str, tidy: Tidy, counting: Counting, spill: Path) -> None:
    """Count lines and words; the cleaned texts are kept for the second pass."""
    done = 0
    for number, (_, table) in enumerate(shard_tables(data)):
        cleaned = tidy.texts(_texts(table, column))
        counting.add(cleaned, counting.boilerplate.groups(table))
        cleaned.alias("text").to_frame().write_parquet(spill / f"{number}.parquet", compression="zstd")
        done += len(table)
        context().progress(done, unit="rows", note="first pass")


def _spilled(spill: Path, number: int) -> pl.Series | None:
    import polars as pl

    file = spill / f"{number}.parquet"
    return pl.read_parquet(file)["text"] if file.exists() else None


class _Finish:
    """The last passes, on texts that are tidy: lines go, spelling is corrected."""

    def __init__(self, boilerplate: Boilerplate, repeated_lines: int, speller: Speller | None) -> None:
        self.boilerplate, self.repeated_lines, self.speller = boilerplate, repeated_lines, speller
        self.learned = Learned()
        self.shown: dict[int, str] = {}
        self.cut: dict[str, pl.DataFrame] = {}  # of the last shard, by reason: columns `row` and `line`
        self.counts: dict[str, float] = {}
        for name, wanted in (
            ("lines_boilerplate", boilerplate.documents),
            ("lines_repeated", repeated_lines),
            ("words_corrected", speller),
            ("texts_not_spelled", speller),
        ):
            if wanted:
                self.counts[name] = 0

    def texts(self, texts: pl.Series, table: pa.Table) -> pl.Series:
        from loomwork.text.lines import without_lines, without_repeats

        before, self.cut = texts, {}
        if self.learned.lines is not None and len(self.learned.lines):
            texts, gone = without_lines(texts, self.boilerplate.groups(table), self.learned.lines)
            self.counts["lines_boilerplate"] += len(gone)
            self.cut["boilerplate line"] = gone
            for key in self.learned.examples.keys() - self.shown.keys():
                lines = gone.filter(gone["key"] == key)["line"]
                if len(lines):
                    self.shown[key] = lines[0].strip()
        if self.repeated_lines:
            texts, repeats = without_repeats(texts, self.repeated_lines)
            self.counts["lines_repeated"] += len(repeats)
            self.cut["repeated line"] = repeats
        if texts is not before:
            texts = clean_texts(texts)  # blank lines have met
        return self._spelled(texts) if self.speller else texts

    def _spelled(self, texts: pl.Series) -> pl.Series:
        from loomwork.text.spelling import correct_texts

        assert self.speller
        if self.learned.words is not None:
            words = unknown_words(texts, self.speller).unique("word")
            self.speller.protect(words.filter(words["key"].is_in(self.learned.words.implode()))["word"].to_list())
        texts, made, left = correct_texts(texts, self.speller)
        self.counts["words_corrected"] += made
        self.counts["texts_not_spelled"] += left
        return texts

    def notes(self) -> list[str]:
        """What a person wants to see of it."""
        found = [
            f"boilerplate in {documents} documents: {self.shown[key][:120]!r}"
            for key, documents in self.learned.examples.items()
            if key in self.shown
        ]
        if self.speller and (changes := self.speller.changes()):
            shown = ", ".join(f"{word} -> {right}" for word, right in list(changes.items())[:SHOWN_WORDS])
            more = f" and {len(changes) - SHOWN_WORDS} more" if len(changes) > SHOWN_WORDS else ""
            found.append(f"spelling: {shown}{more}; a word that was right goes into spelling_protected")
        if left := self.counts.get("texts_not_spelled"):
            found.append(
                f"the spelling of {left:.0f} texts was not corrected: too many of their words are in no dictionary"
            )
        if self.learned.forgotten:
            found.append(f"to bound memory, counts of lines and words are up to {self.learned.forgotten} too low")
        return found


def _reasons(texts: pl.Series, least: int) -> pl.Series:
    """Why each text is dropped; "" where it is not."""
    import polars as pl

    length = texts.str.len_chars()
    short = pl.when(length == 0).then(pl.lit("empty text")).otherwise(pl.lit("short text"))
    return pl.select(pl.when(length >= least).then(pl.lit("")).otherwise(short)).to_series()
