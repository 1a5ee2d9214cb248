"""How data.clean treats the texts of a shard, and what it has to know of all of them before."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, MissingDependency
from loomwork.text.clean import Spaces, UnicodeForm, clean_texts
from loomwork.text.markup import Markup, strip_markup

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from loomwork.text.spelling import Speller

ROUNDS = 8  # what one repair uncovers another may repair; texts that still change are left as they are
EXAMPLES = 5  # boilerplate lines that the card shows


def versions() -> str:
    """Of the packages that only some settings need: they decide what the step writes."""
    found = []
    for name in ("ftfy", "symspellpy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


@dataclass(frozen=True)
class Tidy:
    """What is done to every text by itself.

    Args:
        form, spaces: as `clean_texts` takes them.
        markup: the remains that are taken out.
        repair_encoding: whether wrongly decoded lines are decoded again.
    """

    form: UnicodeForm = "NFC"
    spaces: Spaces = "keep"
    markup: tuple[Markup, ...] = ()
    repair_encoding: bool = False

    def texts(self, texts: pl.Series) -> pl.Series:
        """The cleaned texts; a second cleaning changes nothing more."""
        cleaned = self._once(texts)
        if not self.markup and not self.repair_encoding:
            return cleaned  # the other passes leave nothing for themselves
        changed = (texts != cleaned).arg_true()
        for _ in range(ROUNDS):
            if not len(changed):
                break
            before = cleaned.gather(changed)
            after = self._once(before)
            cleaned = cleaned.clone().scatter(changed, after)  # scatter changes a series in place
            changed = changed.filter(before != after)
        return cleaned

    def _once(self, texts: pl.Series) -> pl.Series:
        if self.repair_encoding:
            from loomwork.text.mojibake import repair

            texts = repair(texts)
        if self.markup:
            texts = strip_markup(texts, self.markup)
        return clean_texts(texts, form=self.form, spaces=self.spaces)


@dataclass(frozen=True)
class Boilerplate:
    """Which lines are taken for boilerplate.

    Args:
        documents: in how many documents of one source a line stands at least; 0 for none at all.
        share: in what share of them.
        by: the column that tells sources apart; None for the host of `url` or the file or folder of `source`.
    """

    documents: int = 0
    share: float = 0.0
    by: str | None = None

    def groups(self, table: pa.Table) -> pl.Series:
        """A number for the source of each row, uint64."""
        import polars as pl

        names = [self.by] if self.by else [n for n in ("url", "source") if n in table.column_names]
        if not names:
            return pl.repeat(0, len(table), dtype=pl.UInt64, eager=True)
        frame = pl.DataFrame({n: pl.Series(table.column(n)).cast(pl.String) for n in names})
        if self.by:
            return frame.to_series().fill_null("").hash(seed=2)
        return frame.select(pl.coalesce([_source(pl.col(n)) for n in names]).fill_null("").hash(seed=2)).to_series()


def _source(place: pl.Expr) -> pl.Expr:
    """The host of a URL, the file of "file.jsonl:12", the folder of a file that is one row."""
    import polars as pl

    host = place.str.extract("^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]+)").str.to_lowercase()
    file = pl.when(place.str.contains(r":\d+$")).then(place.str.replace(r":\d+$", ""))
    return pl.coalesce(host, file, place.str.replace("[^/]*$", ""))


@dataclass
class Learned:
    """What all texts together say: which lines are boilerplate, and which unknown words are common.

    Args:
        lines: columns `key` and `group`, the lines to take out.
        words: keys of words that stand in many texts.
        examples: the keys of the lines that stand in most documents, and in how many.
        forgotten: by how much a count may have been too low.
    """

    lines: pl.DataFrame | None = None
    words: pl.Series | None = None
    examples: dict[int, int] = field(default_factory=dict)
    forgotten: int = 0


class Counting:
    """The first pass: counts lines and words of cleaned texts in bounded memory."""

    def __init__(self, boilerplate: Boilerplate, speller: Speller | None, common: int) -> None:
        from loomwork.text.lines import Counts

        self.boilerplate, self.speller, self.common = boilerplate, speller, common
        self.lines, self.words, self.sources = Counts(), Counts(), Counts()

    def add(self, texts: pl.Series, groups: pl.Series) -> None:
        """Count the texts of a shard."""
        import polars as pl

        from loomwork.text.lines import line_keys

        if self.boilerplate.documents:
            lines = line_keys(texts).drop_nulls("key")
            self.lines.add(lines.select("row", "key", group=groups.gather(lines["row"])))
            self.sources.add(pl.DataFrame({"key": groups, "group": groups}).with_row_index("row"))
        if self.speller and self.common:
            words = unknown_words(texts, self.speller).with_columns(group=pl.lit(0, pl.UInt64))
            self.words.add(words.select("row", "key", "group"))

    def learned(self) -> Learned:
        """What the texts said."""
        import polars as pl

        found = Learned(forgotten=max(self.lines.forgotten, self.words.forgotten))
        if self.boilerplate.documents:
            lines = self.lines.frequent(max(1, self.boilerplate.documents))
            all_of = self.sources.table.select("group", of=pl.col("documents"))
            least = pl.col("of").fill_null(0).cast(pl.Float64) * self.boilerplate.share
            enough = pl.col("documents") >= least - 1e-9
            lines = lines.join(all_of, on="group", how="left").filter(enough)
            found.lines = lines
            top = lines.sort(["documents", "key", "group"], descending=[True, False, False]).head(EXAMPLES)
            found.examples = dict(zip(top["key"].to_list(), top["documents"].to_list(), strict=True))
        if self.speller and self.common:
            found.words = self.words.frequent(self.common)["key"]
        return found


def unknown_words(texts: pl.Series, speller: Speller) -> pl.DataFrame:
    """The words that the speller does not know: columns `row`, `word`, `key`."""
    import polars as pl

    words = pl.DataFrame(
        {"word": [sorted(speller.unknown(text)) for text in texts.to_list()]}, schema={"word": pl.List(pl.String)}
    )
    rows = words.with_row_index("row").explode("word").drop_nulls("word")
    return rows.with_columns(key=pl.col("word").hash(seed=3))


def make_speller(protected: Sequence[str], dictionary: Path | None) -> Speller:
    """A speller, or what is missing for one.

    Raises:
        MissingDependency: symspellpy is not installed.
        InputError: the dictionary is none.
    """
    try:
        from loomwork.text.spelling import Speller

        return Speller(protected, dictionary)
    except ModuleNotFoundError as error:
        raise MissingDependency("data.clean with spelling", error.name or "symspellpy", "curate") from None
    except (ValueError, OSError) as error:
        raise InputError(
            f"spelling_dictionary: {error}", 'each line is a word, a space and its count: "word 12"'
        ) from None


def check_settings(data: Dataset, tidy: Tidy, boilerplate: Boilerplate) -> None:
    """Refuse settings that cannot be followed.

    Raises:
        InputError: says which.
        MissingDependency: ftfy is not installed.
    """
    if (boilerplate.share or boilerplate.by) and not boilerplate.documents:
        raise InputError(
            "boilerplate_documents is 0, so no line is boilerplate", "for example boilerplate_documents=20"
        )
    if boilerplate.by:
        data.require(boilerplate.by)
    if tidy.repair_encoding:
        try:
            import ftfy  # noqa: F401
        except ModuleNotFoundError:
            raise MissingDependency("data.clean with repair_encoding", "ftfy", "curate") from None
