"""Test items looked for in what a model was trained on, as far as the ledger knows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import Model
from loomwork.core.dataset import OURS, Dataset
from loomwork.core.score import Contamination

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from loomwork.evals._mean_score import Provenance
    from loomwork.models.folder import About

RUN_WORDS, SHORT_RUN_WORDS = 13, 8
MOST_SHORT = 0.1  # with more items too short to tell, nothing is called checked
SHOWN_CHARACTERS = 200
CLEAN = ", clean subset"  # how the score of the items that were not found is called after the whole one's name
IS_CLEAN = "clean"  # the column of the items that says which these are


@dataclass(frozen=True)
class Overlap:
    """What was found of the items in the training data.

    Args:
        word: what the scores say.
        note: the same in a sentence, with the counts.
        columns: for the items; empty where nothing was looked for.
        found: which items stand there.  # bool (items,)
        clean: which are long enough to tell and were not found; None where no score of them can be given.
        short: how many are too short to tell.
    """

    word: Contamination
    note: str
    columns: dict[str, pa.Array] = field(default_factory=dict)
    found: np.ndarray | None = None
    clean: np.ndarray | None = None
    short: int = 0

    @property
    def metrics(self) -> dict[str, float]:
        if self.found is None:
            return {}
        return {"items_in_training_data": float(self.found.sum()), "items_too_short_to_tell": float(self.short)}


def look(
    texts: Sequence[str | Sequence[str]],
    clusters: Sequence[str] | None,
    *,
    model: Model | None = None,
    seen: Sequence[Dataset] | None = None,
    learned: tuple[Dataset, str] | None = None,
) -> Overlap:
    """Look for test items in training data.

    An item counts as found where a run of 13 of its words stands in a training text, or, if it has fewer, all of its
    words do; one of fewer than 8 words is too short to tell. Case and punctuation do not count.

    Args:
        texts: of each item what it would be known by: a text, or several, any of which will do.
        clusters: the cluster of each, or None; a clean subset needs two.
        model: what is measured; it says which datasets it was trained on (`trained_on` in loomwork.json).
        seen: the datasets that the ledger knows of; those that the model does not name are passed over.
        learned: dataset and column, for a method that learns from them and nothing else.

    Returns: the word is "unknown" wherever part of what the model was trained on is not known here.

    Source: Brown et al. (2020), Language Models are Few-Shot Learners, appendix C: runs of 8 to 13 words.
    """
    if learned is not None:
        return _found(texts, clusters, [(learned[0], [learned[1]])], "")
    if model is None:
        return Overlap("unknown", "what gave the answers is not known, so nothing was looked for")
    from loomwork.models.folder import read_about

    about = read_about(model)
    sources = _sources(about, seen or ())
    rest = _rest(about, sources)
    if not sources:
        return Overlap("unknown", rest or "the ledger knows no data that this model was trained on")
    return _found(texts, clusters, sources, rest)


def _sources(about: About, seen: Sequence[Dataset]) -> list[tuple[Dataset, list[str] | None]]:
    """The datasets that were learned from, each with its columns; None stands for all that hold text."""
    if not about.trained_on:  # made by a step that does not say what it learned: everything that it read
        return [(data, None) for data in seen]
    columns: dict[str, list[str]] = {}
    for one in about.trained_on:
        columns.setdefault(one["dataset"], []).extend(one["columns"])
    return [(data, columns[data.digest]) for data in seen if data.digest in columns]


def _rest(about: About, sources: Sequence[tuple[Dataset, Any]]) -> str:
    """What the model was trained on besides, in words; "" where that was all."""
    here = {data.digest for data, _ in sources}
    missing = sum(one["dataset"] not in here for one in about.trained_on)
    if missing:
        return f"{missing} of the datasets that it was trained on are not at hand"
    if about.training_data:
        return f"what its base was trained on cannot be looked through here: {', '.join(about.training_data[:5])}"
    if about.training_data is None:
        return "what its base was trained on is unknown"
    return "" if about.trained_on else "the model does not say what it was trained on"


def _found(
    texts: Sequence[str | Sequence[str]],
    clusters: Sequence[str] | None,
    sources: Sequence[tuple[Dataset, list[str] | None]],
    rest: str,
) -> Overlap:
    import numpy as np
    import pyarrow as pa

    from loomwork.text.matching import Matcher
    from loomwork.text.minhash import Texts

    forms = [[text] if isinstance(text, str) else list(text) for text in texts]
    owner = np.repeat(np.arange(len(forms)), [len(f) for f in forms])
    data = Texts.of([text for one in forms for text in one])
    matcher = Matcher(data)
    rows, unread = 0, []
    for source, columns in sources:
        rows += len(source)
        for name, column in _text_columns(source, columns):
            if column is None:
                unread.append(name)
            else:
                matcher.look(Texts.of_column(column))
    if unread:
        names = ", ".join(dict.fromkeys(unread))
        rest = f"what it learned from {names} is of a type that is not looked through" + (f"; {rest}" if rest else "")
    ends = matcher.longest()
    lengths, last = matcher.longest_of_each(ends)
    sizes = np.diff(matcher.words.rows)
    told_of = sizes >= SHORT_RUN_WORDS  # long enough to tell
    hits = told_of & (lengths >= np.minimum(RUN_WORDS, sizes))
    count = len(forms)
    short = np.bincount(owner, told_of, count) == 0
    found = np.bincount(owner, hits, count) > 0
    clean = ~short & ~found
    longest = _most(lengths, owner, count)
    shown: list[str | None] = [None] * count
    for item, run in zip(owner.tolist(), _shown(matcher.words, data, lengths, last, hits), strict=True):
        shown[item] = shown[item] or run
    columns_made = {
        "longest_shared_run": pa.array(longest, pa.int32()),  # words
        "shared_run": pa.array(shown, pa.string()),
        **{
            f"overlap_{n}": pa.array(_most(matcher.share(n, ends), owner, count), from_pandas=True)
            for n in (SHORT_RUN_WORDS, RUN_WORDS)
        },
        IS_CLEAN: pa.array(clean),
    }
    told = f"{int(found.sum()):,} of {len(texts):,} items share a run of {RUN_WORDS} words, or all of their words, "
    told += f"with the {rows:,} training rows that the ledger knows (longest: {int(longest.max(initial=0))} words)"
    told += f"; {int(short.sum()):,} are too short to tell" if short.any() else ""
    told += f"; {rest}" if rest else ""
    labels = np.arange(len(texts)) if clusters is None else np.asarray(clusters)
    enough = len(np.unique(labels[clean])) >= 2  # without which there is no interval
    word = _word(bool(found.any()), float(short.mean()), enough=enough, all_known=not rest)
    given = clean if found.any() and enough else None
    return Overlap(word, told, columns_made, found, given, int(short.sum()))


def of_some(items: pa.Table, inside: np.ndarray, given: Provenance) -> tuple[Provenance, np.ndarray | None]:
    """What holds of some of the items, by the columns that `look` made.

    Args:
        items: all of them.
        inside: which are meant.  # bool (items,)
        given: of all items.

    Returns: the same of these, and which of them are clean; None where no score of those can be given.
    """
    if not {"shared_run", f"overlap_{SHORT_RUN_WORDS}"} <= set(items.column_names):
        return given, None
    found = inside & items.column("shared_run").is_valid().to_numpy()
    short = inside & items.column(f"overlap_{SHORT_RUN_WORDS}").is_null().to_numpy()
    clean = inside & ~found & ~short
    count = int(inside.sum())
    told = f"{int(found.sum()):,} of these {count:,} items share a run of {RUN_WORDS} words, or all of their words, "
    told += "with training rows" + (f"; {int(short.sum()):,} are too short to tell" if short.any() else "")
    enough = given.only(clean).units(int(clean.sum())) >= 2
    word = _word(
        bool(found.any()), short.sum() / max(count, 1), enough=enough, all_known=given.contamination != "unknown"
    )
    mine = replace(given, contamination=word, note=f"{told}; of all items: {given.note}")
    return mine, clean if found.any() and enough else None


def _word(found: bool, short: float, *, enough: bool, all_known: bool) -> Contamination:
    """The word for some items.

    Args:
        found: whether any was found in the training data.
        short: the share of those that are too short to tell.
        enough: whether those that were not found are enough for a score.
        all_known: whether all that the model was trained on was looked through.
    """
    if not all_known or (found and not enough) or (not found and short > MOST_SHORT):
        return "unknown"
    return "clean subset given" if found else "checked"


def _most(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """The largest value of each item's texts; NaN where none has one.  # (texts,), (texts,) -> (items,)"""
    import numpy as np

    if np.issubdtype(values.dtype, np.integer):
        most = np.zeros(count, values.dtype)
        np.maximum.at(most, owner, values)
        return most
    found = np.full(count, -np.inf)
    np.maximum.at(found, owner, np.where(np.isnan(values), -np.inf, values))
    return np.where(np.isinf(found), np.nan, found)


def _shown(words: Any, data: Any, longest: Any, last: Any, found: Any) -> list[str | None]:
    """The longest shared run of each item that was found, as it stands in the item."""
    shown: list[str | None] = []
    for size, end, hit in zip(longest.tolist(), last.tolist(), found.tolist(), strict=True):
        if not hit:
            shown.append(None)
            continue
        text = bytes(data.data[words.starts[end - size + 1] : words.ends[end]]).decode("utf-8", "replace")
        shown.append(text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…")
    return shown


def _text_columns(data: Dataset, columns: list[str] | None) -> Iterator[tuple[str, pa.Array | None]]:
    """Columns of texts with their names, shard by shard; what is nested (turns of a conversation) text by text.

    None stands for a column that may hold text of which none can be read here.
    """
    import pyarrow.types as t

    for table in data.tables(columns):
        for name in table.column_names:
            if name in OURS:
                continue
            column = table.column(name).combine_chunks()
            found = list(_texts_in(column))
            yield from ((name, texts) for texts in found)
            kind = column.type
            plain = t.is_null(kind) or t.is_boolean(kind) or t.is_temporal(kind) or t.is_integer(kind)
            if not found and not (plain or t.is_floating(kind) or t.is_decimal(kind)):
                yield name, None


def _texts_in(array: pa.Array) -> Iterator[pa.Array]:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _texts_in(array.dictionary_decode())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield array
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts_in(array.flatten())
    elif pa.types.is_struct(kind):
        for inner in array.flatten():
            yield from _texts_in(inner)
