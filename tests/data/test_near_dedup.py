"""The step on real pairs and its promises about rows."""

from __future__ import annotations

from itertools import pairwise

import pytest

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.data.near_dedup import near_dedup
from loomwork.text.minhash import jaccard

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
        assert f"{jaccard(row['text'], texts[words[-1]], words=3):.2f}" == words[2]
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == 2 * len(pairs)


def test_unlike_real_sentences_are_all_kept(test_data, make_dataset, run_step):
    lines = (test_data / "near_duplicates/pan-train_s1.txt").read_text("utf-8").splitlines()[:3000]
    unlike = sorted(set(lines))
    unlike = unlike[:1] + [b for a, b in pairwise(unlike) if a[:20].lower() != b[:20].lower()]
    made, card = run_step(near_dedup, data=make_dataset([{"text": t} for t in unlike]))
    for row in made.select("dropped").rows() if "dropped" in made.parts else []:
        assert float(row["reason"].split()[2]) >= 0.8
    assert card.metrics["rows"] >= 0.99 * len(unlike)


def test_settings_out_of_range_are_refused(make_dataset, run_step):
    data = make_dataset([{"text": BODY}])
    for wrong in ({"threshold": 0.0}, {"threshold": 1.1}, {"shingle_words": 0}):
        with pytest.raises(InputError, match="threshold"):
            run_step(near_dedup, data=data, **wrong)
    with pytest.raises(InputError, match="no column 'body'"):
        run_step(near_dedup, data=data, column="body")
