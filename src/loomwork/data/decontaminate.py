"""Removal of training rows that share text with test data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text

if TYPE_CHECKING:
    import numpy as np

SHOWN_CHARS = 60


@step(makes="dataset", uses=["numba", "numpy"], heavy=True)
def decontaminate(
    data: Dataset,
    against: list[Dataset],
    *,
    words: Annotated[int, Ge(1)] = 13,
    shortest: Annotated[int, Ge(1)] = 5,
    column: str = "text",
    against_columns: list[str] | None = None,
    out: Path,
) -> Card:
    """Drop the rows that share a run of `words` words with any of the other datasets: training against test data.

    Words are compared without case and punctuation. A text of the other datasets that is shorter than `words`, but has
    at least `shortest` words, is found as a whole. The reason names the row that it was found in, and the words.

    Args:
        data: the rows to be cleaned, with a text column.
        against: the test data, whole: each as it is given, or its part.
        words: the length of a shared run. 13 is GPT-3's; 8 finds more, phrases too.
        shortest: texts with fewer words are not looked for: they stand everywhere.
        column: the text column of `data`.
        against_columns: text columns of the test data. None: the column of the same name.

    Raises:
        InputError: a column is missing, or nothing in the test data is long enough to be looked for.
        MissingDependency: Numba is not installed.

    Source: Brown et al. (2020), Language models are few-shot learners, appendix C.
    """
    import numpy as np

    from loomwork.data._runs import require_kernels, shard_words

    _require("data", data, [column], "column")
    if shortest > words:
        raise InputError(f"words is {words}, shortest is {shortest}", "shortest is at most words")
    if not against:
        raise InputError("decontaminate needs data to compare against", "for example against: [$test]")
    for place, other in enumerate(against):
        _require(f"against, number {place + 1},", other, against_columns or [column], "against_columns")
    require_kernels("data.decontaminate")
    wanted, owners, ids, ignored = _wanted_runs(against, against_columns or [column], words, shortest)
    if not wanted:
        raise InputError(
            f"no text of the test data has {shortest} words", f"{ignored} texts are shorter; lower `shortest`"
        )
    hit_items: set[int] = set()
    with DatasetWriter(out) as writer:
        for shard, texts, found in shard_words(data, column):
            row_of = found.row_of
            reasons = [""] * len(texts)
            for length, known in wanted.items():
                runs = found.runs(length)
                at = np.searchsorted(known, runs)
                hits = np.flatnonzero((runs != 0) & (known[np.minimum(at, known.size - 1)] == runs))
                for word in hits[np.unique(row_of[hits], return_index=True)[1]]:
                    item = int(owners[length][at[word]])
                    begin, end = int(found.starts[word]), int(found.ends[word + length - 1])
                    shown = " ".join(bytes(texts.data[begin:end]).decode("utf-8", "replace").split())[:SHOWN_CHARS]
                    row = int(row_of[word])
                    reasons[row] = reasons[row] or f"contaminated: {length} words of {ids[item].hex()}, {shown!r}"
                hit_items |= set(owners[length][np.unique(at[hits])].tolist())
            if any(reasons):
                writer.keep(shard, [not r for r in reasons], reasons)
            else:
                writer.share(shard)
    return counted(writer, against_rows=len(ids), against_rows_found=len(hit_items), against_texts_too_short=ignored)


def _require(role: str, data: Dataset, columns: list[str], setting: str) -> None:
    """Refuse an input that has not these text columns, with the setting that names others."""
    try:
        require_text(data, *columns)
    except InputError as error:
        text = [f.name for f in data.schema if str(f.type) in ("string", "large_string")] if data.shards() else []
        hint = f"{error.hint}; " if error.hint.startswith("did you mean") else ""
        shape = "[...]" if setting == "against_columns" else "..."
        known = f"set {setting}={shape}; its text columns: {', '.join(text)}" if text else error.hint
        raise InputError(f"the input {role} cannot be read: {error.what}", hint + known if text else known) from None


def _wanted_runs(
    against: list[Dataset], columns: list[str], words: int, shortest: int
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], list[bytes], int]:
    """Runs to look for, by their length: sorted hashes uint64, the test row of each; the rows' ids; texts too short."""
    import numpy as np

    from loomwork.text.minhash import Texts
    from loomwork.text.overlap import folded_words

    hashes: dict[int, list[np.ndarray]] = {}
    rows: dict[int, list[np.ndarray]] = {}
    ids: list[bytes] = []
    ignored = 0
    for other in against:
        for table in other.tables([*columns, "row_id"]):
            first = len(ids)
            ids += table.column("row_id").to_pylist()
            for column in columns:
                found = folded_words(Texts.of_column(table.column(column)))
                sizes = np.diff(found.rows)
                ignored += int((sizes < shortest).sum())
                for length in np.unique(np.clip(sizes[sizes >= shortest], None, words)).tolist():
                    runs = found.runs(length)
                    # a text that is shorter than `words` is looked for as a whole, a longer one by its runs
                    mine = (sizes >= words) if length == words else (sizes == length)
                    chosen = (runs != 0) & mine[found.row_of]
                    hashes.setdefault(length, []).append(runs[chosen])
                    rows.setdefault(length, []).append(found.row_of[chosen] + first)
    wanted, owners = {}, {}
    for length, pieces in hashes.items():
        wanted[length], index = np.unique(np.concatenate(pieces), return_index=True)
        owners[length] = np.concatenate(rows[length])[index]
    return wanted, owners, ids, ignored
