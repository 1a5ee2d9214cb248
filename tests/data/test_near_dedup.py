"""The step on real pairs and its promises about rows."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, MissingDependency
from loomwork.data.near_dedup import LEAST, near_dedup
from loomwork.text.minhash import RECALL, bands_for, jaccard

BODY = "the quick brown fox jumps over the lazy dog and then it goes home to sleep until the morning comes"


def test_dropped_rows_name_the_row_that_was_kept(tmp_path, run_step):
    rows = [BODY, "something else altogether, with words of its own", BODY + " again", None, "", BODY.upper() + "!"]
    (tmp_path / "in").mkdir()
    with DatasetWriter(tmp_path / "in", shard_rows=2) as writer:
        for n, text in enumerate(rows):
            writer.write([{"text": text, "n": n}])
    data = Dataset(tmp_path / "in")
    ids = {r["n"]: r["row_id"] for r in data.rows()}
    made, card = run_step(near_dedup, data=data)
    assert [r["n"] for r in made.select("data").rows()] == [1, 2, 3, 4]
    dropped = list(made.select("dropped").rows())
    assert [r["n"] for r in dropped] == [0, 5]
    assert [r["row_id"] for r in dropped] == [ids[0], ids[5]]
    expected = f"near-duplicate: jaccard {jaccard(BODY, BODY + ' again'):.2f} with {ids[2].hex()}"
    assert [r["reason"] for r in dropped] == [expected, expected]
    assert card.metrics["dropped: near-duplicate"] == 2
    assert card.metrics["rows_without_text"] == 2  # null and empty: kept
    assert (
        made.select("data").shards()[1].stat().st_ino == data.shards()[1].stat().st_ino
    )  # an untouched shard is shared
    again, _ = run_step(near_dedup, data=made.select("data"))
    assert list(again.rows()) == list(made.select("data").rows())
    assert sorted(p.name for p in made.path.iterdir()) == ["data", "dropped"]


def test_real_paraphrase_pairs_agree_with_every_pair_compared(test_data, make_dataset, run_step):
    folder = test_data / "near_duplicates"
    sides = [(folder / f"pan-train_s{i}.txt").read_text("utf-8").splitlines() for i in (1, 2)]
    pairs = [(a, b) for a, b in zip(*sides, strict=True) if a != b and jaccard(a, b, words=3) >= 0.6]
    assert len(pairs) > 100
    data = make_dataset([{"text": text} for pair in pairs for text in pair])
    made, card = run_step(near_dedup, data=data, threshold=0.6, shingle_words=3)
    kept = {r["text"] for r in made.select("data").rows()}
    found = sum(not (a in kept and b in kept) for a, b in pairs)
    assert found >= 0.995 * len(pairs)
    texts = {r["row_id"].hex(): r["text"] for r in data.rows()}
    for row in made.select("dropped").rows():
        words = row["reason"].split()
        similar = jaccard(row["text"], texts[words[-1]], words=3)
        assert f"{similar:.2f}" == words[2]
        assert similar >= 0.6
        assert texts[words[-1]] in kept
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == 2 * len(pairs)


def test_unlike_real_sentences_are_all_kept(test_data, make_dataset, run_step):
    lines = (test_data / "near_duplicates/pan-train_s1.txt").read_text("utf-8").splitlines()[:3000]
    unlike = sorted(set(lines))
    unlike = unlike[:1] + [b for a, b in pairwise(unlike) if a[:20].lower() != b[:20].lower()]
    made, card = run_step(near_dedup, data=make_dataset([{"text": t} for t in unlike]))
    for row in made.select("dropped").rows() if "dropped" in made.parts else []:
        assert float(row["reason"].split()[2]) >= 0.8
    assert card.metrics["rows"] >= 0.99 * len(unlike)


def test_the_lowest_threshold_still_has_the_promised_recall(make_dataset, run_step):
    def recall(threshold):
        bands, bins = bands_for(threshold)
        return 1 - (1 - threshold**bins) ** bands

    assert recall(LEAST) >= RECALL
    assert recall(LEAST - 0.01) < RECALL  # so that nothing is refused without need: to one hundredth
    run_step(near_dedup, data=make_dataset([{"text": BODY}]), threshold=LEAST)


def test_settings_and_columns_that_do_not_fit_are_refused(make_dataset, run_step):
    data = make_dataset([{"text": BODY}])
    for threshold in (LEAST - 0.01, 1.1):
        with pytest.raises(ValidationError, match="threshold"):
            near_dedup.step.settings_model(threshold=threshold)
    with pytest.raises(InputError, match="no column 'body'"):
        run_step(near_dedup, data=data, column="body")
    with pytest.raises(InputError, match="needs by=COLUMN"):
        run_step(near_dedup, data=data, keep="best")
    with pytest.raises(InputError, match="needs by=COLUMN"):
        run_step(near_dedup, data=data, by="text")
    with pytest.raises(InputError, match="no column 'quality'"):
        run_step(near_dedup, data=data, keep="best", by="quality")
    with pytest.raises(InputError, match="which has no order"):
        run_step(near_dedup, data=make_dataset([{"text": BODY, "tags": ["x"]}]), keep="best", by="tags")
    with pytest.raises(InputError, match="no rows"):
        run_step(near_dedup, data=make_dataset([]))
    with pytest.raises(InputError, match="holds string in data and int64 in known"):
        run_step(near_dedup, data=data, known=make_dataset([{"text": 3}]))


def test_without_numba_the_extra_is_named(make_dataset, run_step, monkeypatch):
    monkeypatch.delitem(sys.modules, "loomwork.text.minhash", raising=False)
    monkeypatch.delitem(sys.modules, "loomwork.text.minhash_kernels", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingDependency, match=r"pip install 'loomwork\[dedup\]'"):
        run_step(near_dedup, data=make_dataset([{"text": BODY}]))


def test_the_best_by_a_column_is_kept_and_null_is_the_worst(make_dataset, run_step):
    rows = [
        {"text": BODY + " longest of all", "quality": None},
        {"text": BODY, "quality": 0.5},
        {"text": BODY + " more", "quality": 0.9},
        {"text": BODY + " and more", "quality": 0.9},
        {"text": "of another kind altogether", "quality": None},
    ]
    made, _ = run_step(near_dedup, data=make_dataset(rows), threshold=0.6, keep="best", by="quality")
    assert [r["text"] for r in made.select("data").rows()] == [BODY + " and more", "of another kind altogether"]
    dates = [{"text": BODY + " x" * (n == 0), "day": day} for n, day in enumerate(["2024-01-02", "2025-01-01"])]
    made, _ = run_step(near_dedup, data=make_dataset(dates), keep="best", by="day")
    assert [r["day"] for r in made.select("data").rows()] == ["2025-01-01"]


words = st.sampled_from(["a", "B", "c", "dd", "é", "一", "二", "。"])
texts = st.one_of(st.none(), st.lists(words, max_size=9).map(" ".join))
some_rows = st.lists(st.fixed_dictionaries({"text": texts, "quality": st.sampled_from([None, 1, 2])}), min_size=1)


def kept_texts(data: Dataset) -> list[str | None]:
    return sorted((r["text"] for r in data.select("data").rows()), key=lambda t: (t is None, t))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_rows, st.sampled_from([0.4, 0.8]), st.sampled_from(["longest", "best", "first"]), st.randoms())
def test_kept_and_dropped_are_the_input_and_a_second_run_drops_nothing(
    make_dataset, run_step, rows, threshold, keep, random
):
    rule = {"threshold": threshold, "shingle_words": 2, "keep": keep, "by": "quality" if keep == "best" else ""}
    data = make_dataset(rows)
    made, card = run_step(near_dedup, data=data, **rule)
    dropped = list(made.select("dropped").rows()) if "dropped" in made.parts else []
    everything = [r["row_id"] for r in made.select("data").rows()] + [r["row_id"] for r in dropped]
    assert sorted(everything) == sorted(r["row_id"] for r in data.rows())
    assert card.metrics["rows_without_text"] == sum(not (r["text"] or "").replace("。", "").strip() for r in rows)
    _, again = run_step(near_dedup, data=made.select("data"), **rule)
    assert again.metrics["rows_dropped"] == 0
    if keep != "first":
        other, _ = run_step(near_dedup, data=make_dataset(random.sample(rows, len(rows))), **rule)
        assert kept_texts(other) == kept_texts(made)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_rows, some_rows, st.booleans())
def test_of_new_rows_those_are_kept_that_a_whole_run_keeps(make_dataset, run_step, old, new, index):
    rule = {"threshold": 0.5, "shingle_words": 2, "keep": "first"}
    known, _ = run_step(near_dedup, data=make_dataset(old), index=index, **rule)
    known = known.select("data")
    added, card = run_step(near_dedup, data=make_dataset(new), known=known, index=index, **rule)
    rows = [{"text": r["text"]} for r in known.rows()] + [{"text": r["text"]} for r in new]
    whole, _ = run_step(near_dedup, data=make_dataset(rows), **rule)
    assert [r["text"] for r in added.select("data").rows()] == [r["text"] for r in whole.select("data").rows()]
    assert card.metrics["rows_known"] == len(known)
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == len(known) + len(new)


def rng_texts(count: int, seed: int) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(f"w{n}" for n in chance.integers(0, 5000, 40)) for _ in range(count)]


def test_a_new_version_shares_the_shards_and_the_index_of_the_old_one(make_dataset, run_step):
    old, new = rng_texts(300, 1), rng_texts(40, 2)
    new[:10] = [text + " again" for text in old[:10]]
    known, _ = run_step(near_dedup, data=make_dataset([{"text": t} for t in old]), index=True)
    made, card = run_step(near_dedup, data=make_dataset([{"text": t} for t in new]), known=known, index=True)
    for part in ("data", "+near_dedup"):
        for file in (known.path / part).iterdir():
            assert (made.path / part / file.name).stat().st_ino == file.stat().st_ino
    assert card.metrics["dropped: near-duplicate"] == 10
    ids = {r["row_id"].hex() for r in known.rows()}
    assert {r["reason"].split()[-1] in ids for r in made.select("dropped").rows()} == {True}
    third = make_dataset([{"text": t} for t in [*old[20:30], *new[20:30], *rng_texts(5, 3)]])
    _, card = run_step(near_dedup, data=third, known=made.select("data"))  # both files of the index are read
    assert card.metrics["rows_dropped"] == 20
    _, other = run_step(near_dedup, data=third, known=made.select("data"), shingle_words=4)  # no index of that length
    assert other.metrics["rows_dropped"] == 20


def test_known_rows_are_never_dropped(make_dataset, run_step):
    known = make_dataset([{"text": BODY}, {"text": BODY + " again"}])
    made, card = run_step(near_dedup, data=make_dataset([{"text": BODY + " and again"}]), known=known)
    assert [r["text"] for r in made.select("data").rows()] == [BODY, BODY + " again"]
    assert card.metrics["rows_dropped"] == 1


def test_forgotten_rows_are_in_no_index(make_dataset, run_step):
    old = make_dataset([{"text": t} for t in rng_texts(20, 1)])
    known, _ = run_step(near_dedup, data=old, index=True)
    gone = next(iter(known.rows()))["row_id"]
    with use_context(Context(forgotten=frozenset([gone]))):
        new = make_dataset([{"text": t} for t in rng_texts(5, 2)])
        made, _ = run_step(near_dedup, data=new, known=known, index=True)
    assert len(made.select("data")) == 24
    assert gone in b"".join(f.read_bytes() for f in (known.path / "+near_dedup").iterdir())
    assert gone not in b"".join(f.read_bytes() for f in (made.path / "+near_dedup").iterdir())


def test_the_same_bytes_for_any_number_of_threads(make_dataset, run_step):
    texts = rng_texts(2000, 4)
    data = make_dataset([{"text": t} for t in texts + [t + " x" for t in texts[::5]]])
    made = []
    for threads in (1, 3):
        with use_context(Context(threads=threads)):
            made.append(run_step(near_dedup, data=data, index=True)[0])
    assert made[0].id == made[1].id


@pytest.mark.parametrize("words", [40, 0])
def test_what_does_not_fit_in_memory_lies_in_files(make_dataset, run_step, monkeypatch, words):
    texts = [" ".join(text.split()[:words]) for text in rng_texts(500, 5)]
    data = make_dataset([{"text": t} for t in texts + [t + " x" * (words > 0) for t in texts[::5]]])
    held, _ = run_step(near_dedup, data=data, index=True)
    monkeypatch.setattr("loomwork.data._near_index.MEMORY_BYTES", 0)
    monkeypatch.setattr("loomwork.text.minhash.TABLE_ROWS", 64)  # band tables in turns
    monkeypatch.setattr("loomwork.text.minhash.KEY_BYTES", 1 << 12)  # one band at a time
    spilled, _ = run_step(near_dedup, data=data, index=True)
    assert spilled.id == held.id
    assert sorted(p.name for p in spilled.path.iterdir()) == ["+near_dedup", "data"] + ["dropped"] * (words > 0)


def test_shards_without_the_column_are_kept(tmp_path, run_step):
    (tmp_path / "in").mkdir()
    with DatasetWriter(tmp_path / "in", shard_rows=1) as writer:
        for row in ({"text": BODY}, {"title": "no text"}, {"text": BODY + " again"}):
            writer.write([row])
    made, card = run_step(near_dedup, data=Dataset(tmp_path / "in"))
    assert len(Dataset(tmp_path / "in").shards()) == 3
    assert [r["text"] for r in made.select("data").rows()] == [None, BODY + " again"]
    assert card.metrics["rows_without_text"] == 1


def test_a_corpus_of_copies_is_no_more_than_one_text(make_dataset, run_step):
    made, card = run_step(near_dedup, data=make_dataset([{"text": BODY}] * 30_000))
    assert len(made.select("data")) == 1
    assert card.metrics["pairs_verified"] <= 60_000  # not 450 million


def test_one_huge_text_among_small_ones(make_dataset, run_step):
    chance = np.random.default_rng(0)
    huge = " ".join(f"w{n}" for n in chance.integers(0, 100_000, 3_000_000))  # 20 MB
    data = make_dataset([{"text": "a b"}, {"text": huge}, {"text": BODY}, {"text": huge[:-9]}, {"text": "a  B"}])
    made, _ = run_step(near_dedup, data=data)
    assert [r["text"] for r in made.select("data").rows()] == [huge, BODY, "a  B"]


def test_chinese_and_japanese_texts(make_dataset, run_step):
    poem = "白日依山盡黃河入海流欲窮千里目更上一層樓" * 2
    story = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。"
    rows = [poem, story, poem[:-1], story.replace("。", "、"), "完全に別の文章はここに残されるべきものである"]
    made, _ = run_step(near_dedup, data=make_dataset([{"text": t} for t in rows]))
    kept = [rows.index(r["text"]) for r in made.select("data").rows()]
    assert kept in ([0, 1, 4], [0, 3, 4])  # two stories of one length differ in marks alone: either, by its hash


def test_known_rows_of_another_type_are_refused_before_any_work(make_dataset, run_step):
    known, new = make_dataset([{"text": "a b c", "n": 1}]), make_dataset([{"text": "d e f", "n": "one"}])
    with pytest.raises(InputError, match="column 'n' holds string in data and int64 in known"):
        run_step(near_dedup, data=new, known=known)


def test_an_index_is_not_taken_for_another_part(make_dataset, run_step):
    first = make_dataset([{"text": BODY, "n": 1}, {"text": BODY + " and again", "n": 2}])
    made, _ = run_step(near_dedup, data=first, index=True)
    dropped = [r["text"] for r in made.select("dropped").rows()]
    assert len(dropped) == 1
    new = make_dataset([{"text": "something else altogether that nobody has said before now", "n": 3}])
    _, card = run_step(near_dedup, data=new, known=made.select("dropped"))
    assert card.metrics["rows_dropped"] == 0
    kept = make_dataset([{"text": made_text, "n": 4} for made_text in dropped])
    _, card = run_step(near_dedup, data=kept, known=made.select("dropped"))
    assert card.metrics["rows_dropped"] == 1
