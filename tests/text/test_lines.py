"""Lines of many documents, and copies of lines in one: against plain Python over the same texts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.lines import Counts, line_keys, without_lines, without_repeats
from tests.characters import ASSIGNED

line = st.sampled_from(["Home", " Home ", "Page 1", "Page 22", "---", "", "    code()", "\ta", "Zeile", "x"]) | st.text(
    ASSIGNED, max_size=3
)
text = st.lists(line, max_size=7).map("\n".join)
columns = st.lists(st.tuples(text, st.integers(0, 2)), max_size=10)


def folded(line: str, text: str = "a\nb") -> str:
    """White space and numbers away; "" for what is never counted, a text's only line among it."""
    found = re.sub(r"\d+", "0", line.strip())
    alone = sum(any(c.isalpha() for c in x) for x in text.split("\n")) < 2
    return found if any(c.isalpha() for c in found) and not alone else ""


@settings(deadline=None, max_examples=200)
@given(columns, st.integers(1, 4))
def test_lines_of_many_documents(rows, least):
    rows = [(t.replace("\x1c", " ").replace("\x1d", " ").replace("\x1e", " ").replace("\x1f", " "), g) for t, g in rows]
    texts = pl.Series([t for t, _ in rows], dtype=pl.String)
    groups = pl.Series([g for _, g in rows], dtype=pl.UInt64)
    documents: Counter = Counter()
    for t, g in rows:
        documents.update({(folded(x, t), g) for x in t.split("\n")})
    counts = Counts()
    for i in range(0, len(rows), 3):  # shard by shard
        lines = line_keys(texts[i : i + 3])
        counts.add(lines.select("row", "key", group=groups[i : i + 3].gather(lines["row"])))
    found, gone = without_lines(texts, groups, counts.frequent(least))
    expected, cut = [], 0
    for t, g in rows:
        every = t.split("\n")
        kept = [x for x in every if not folded(x, t) or documents[folded(x, t), g] < least]
        whole = not any(folded(x, t) for x in kept)  # nothing that says something would be left
        expected.append(t if whole else "\n".join(kept))
        cut += 0 if whole else len(every) - len(kept)
    assert found.to_list() == expected
    assert len(gone) == cut
    assert texts.to_list() == [t for t, _ in rows]  # the input is not changed in place


@settings(deadline=None, max_examples=200)
@given(st.lists(text, max_size=6), st.integers(1, 3))
def test_copies_in_one_document(texts, most):
    texts = [re.sub("[\x1c-\x1f]", " ", t) for t in texts]
    found, gone = without_repeats(pl.Series(texts, dtype=pl.String), most)
    expected = []
    for t in texts:
        seen: dict[str, int] = defaultdict(int)
        kept = []
        for x in t.split("\n"):
            counted = folded(x) and not x.startswith(("    ", "\t"))
            if counted:
                seen[x.strip()] += 1
            if not counted or seen[x.strip()] <= most:
                kept.append(x)
        expected.append("\n".join(kept))
    assert found.to_list() == expected
    assert len(without_repeats(found, most)[1]) == 0
    assert len(gone) == sum(t.count("\n") for t in texts) - sum(t.count("\n") for t in expected)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=12), st.integers(2, 12))
def test_bounded_counts_are_never_too_high_and_little_too_low(documents, most):
    counts, true = Counts(most), Counter()
    for keys in documents:
        frame = pl.DataFrame({"row": [0] * len(keys), "key": keys, "group": [7] * len(keys)})
        counts.add(frame.cast({"row": pl.UInt32, "key": pl.UInt64, "group": pl.UInt64}))
        true.update(set(keys))
        assert len(counts.table) <= most
    held = dict(zip(counts.table["key"].to_list(), counts.table["documents"].to_list(), strict=True))
    for key, n in true.items():
        assert n - counts.forgotten <= held.get(key, 0) <= n
    assert counts.forgotten <= sum(true.values()) / (most + 1) + 1  # Misra and Gries


def test_an_unbounded_count_forgets_nothing():
    counts = Counts()
    lines = line_keys(pl.Series(["a\nb\na", "a", "c 1\nc 2"]))
    counts.add(lines.select("row", "key", group=pl.lit(0, pl.UInt64)))
    assert counts.forgotten == 0
    assert sorted(counts.table["documents"].to_list()) == [1, 1, 1]  # the only line of "a" is not counted
