"""None is lost and none comes from nowhere, in the steps that need a model, other data, or make other rows."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.data.chat import chat
from loomwork.data.decontaminate import decontaminate
from loomwork.data.language import language
from loomwork.data.mix import mix
from loomwork.data.pack import pack
from loomwork.data.render import render
from loomwork.data.semantic_dedup import semantic_dedup
from loomwork.data.tokenize import tokenize
from tests.data.test_rows import call, check_rows, corpora, every_row, texts, write

GOOD = ("a b a é", "u")  # a row that every step keeps: these refuse data of which nothing is left


@settings(max_examples=25, deadline=None)
@given(rows=corpora)
def test_kept_and_dropped_rows_of_steps_that_change_none(rows):
    with tempfile.TemporaryDirectory() as folder:
        before = write([GOOD, *rows], Path(folder) / "in")
        check_rows(before, call(language, before, languages=["en", "fr"]))
        test = write([("b b", "u"), ("ab a", "u")], Path(folder) / "test")
        check_rows(before, call(decontaminate, before, against=[test], words=2, shortest=2))


@settings(max_examples=5, deadline=None)
@given(rows=corpora)
def test_kept_and_dropped_rows_of_semantic_dedup(rows, minilm):
    with tempfile.TemporaryDirectory() as folder:
        before = write(rows, Path(folder) / "in")
        check_rows(before, call(semantic_dedup, before, model=minilm, threshold=0.8))


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(texts | st.just("a</s>"), st.sampled_from("uv ")), max_size=25))
def test_kept_and_dropped_rows_of_chat_render_and_tokenize(rows, stories):
    with tempfile.TemporaryDirectory() as folder:
        before = write([GOOD, *rows], Path(folder) / "in")
        chats = call(chat, before, rename={"group": "prompt", "text": "completion"})
        check_rows(before, chats)
        chats = chats.select("data")
        rendered = call(render, chats, tokenizer=stories, template="chatml")
        check_rows(chats, rendered)
        for rows_in, most in ((before, 8), (rendered.select("data"), 58)):  # tokens of GOOD and a few more
            for long in ("drop", "truncate"):
                check_rows(rows_in, call(tokenize, rows_in, tokenizer=stories, max_tokens=most, long=long))


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(texts, st.just("u")), max_size=25))
def test_tokenize_makes_every_row_one_or_more_and_pack_makes_them_fewer(rows, stories):
    with tempfile.TemporaryDirectory() as folder:
        before = write([GOOD, *rows], Path(folder) / "in")
        # kept + dropped is not the input here: a long text becomes several rows, so each row stands there at least once
        tokens = call(tokenize, before, tokenizer=stories, max_tokens=4, long="split")
        kept = [row["origin_ids"] for row in tokens.select("data").rows()]
        dropped = [row["row_id"] for row in every_row(tokens) if "reason" in row]
        assert all(len(origins) == 1 for origins in kept)
        assert {i for (i,) in kept}.isdisjoint(dropped)
        assert {*dropped, *(i for (i,) in kept)} == {row["row_id"] for row in before.rows()}
        # nor here: several rows are joined, so the origins of what is kept, with what is dropped, are the input
        tokens = tokens.select("data")
        packed = call(pack, tokens, length=3 if min(lengths(tokens)) <= 3 else 4)
        origins = [i for row in packed.select("data").rows() for i in row["origin_ids"]]
        origins += [row["row_id"] for row in every_row(packed) if "reason" in row]
        # rows of the same tokens have the same id, and stand for each other among the origins of one packed row
        assert set(origins) == {row["row_id"] for row in tokens.rows()}
        of_packed = sum(len(row["lengths"]) for row in packed.select("data").rows())
        assert of_packed + sum("reason" in row for row in every_row(packed)) == len(tokens)


def lengths(tokens: Dataset) -> list[int]:
    return [len(row["input_ids"]) for row in tokens.rows()]


@settings(max_examples=25, deadline=None)
@given(rows=corpora, share=st.floats(0.2, 5), size=st.none() | st.integers(1, 40))
def test_mix_keeps_or_drops_every_row(rows, share, size):
    with tempfile.TemporaryDirectory() as folder:
        numbered = [{"text": text, "n": n} for n, (text, _) in enumerate([GOOD, *rows])]
        sources = {}
        for name, mine in (("web", numbered[::2]), ("code", numbered[1::2])):
            (Path(folder) / name).mkdir()
            with DatasetWriter(Path(folder) / name, shard_rows=4) as writer:
                writer.write(mine)
            sources[name] = Dataset(Path(folder) / name)
        out = Path(folder) / "out"
        out.mkdir()
        mix(sources, weights={"web": 1.0, "code": share}, size=size, most_repeats=100, out=out)
        mixed = Dataset(out)
        drawn = Counter(row["n"] for row in mixed.select("data").rows()) if "data" in mixed.parts else Counter()
        dropped = [row["n"] for row in mixed.select("dropped").rows()] if "dropped" in mixed.parts else []
        assert sorted([*drawn, *dropped]) == list(range(len(numbered)))
        # with a size, rows may be drawn several times over, so that kept + dropped may be more than the input
        assert sum(drawn.values()) == size if size else max(drawn.values(), default=1) == 1
