from __future__ import annotations

import lzma

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals._contamination import CLEAN
from loomwork.evals._lzma_bytes import lzma_bytes
from loomwork.evals.bits_per_byte import NAME, bits_per_byte

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."


@pytest.fixture(scope="session")
def paragraphs(test_data):
    text = (test_data / "lm" / "wikitext-2.valid.txt").read_text(errors="replace")
    return [p.strip() for p in text.split("\n") if len(p.split()) > 30]


def test_lzma_counts_what_each_document_adds_exactly(paragraphs):
    training = [p.encode() for p in paragraphs[:120]]
    documents = [p.encode() for p in paragraphs[120:126]] + [training[5], b"x"]
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20}]

    def size(text: bytes) -> int:
        return len(lzma.compress(text, format=lzma.FORMAT_RAW, filters=filters))

    primer = b"".join(training)
    assert lzma_bytes(training, documents) == [size(primer + d) - size(primer) for d in documents]


def test_the_primed_compressor_as_a_step(paragraphs, make_dataset, run_step):
    rows = [{"text": p, "page": str(i // 4)} for i, p in enumerate(paragraphs[:300])]
    data = make_dataset(train=rows[:240], holdout=rows[240:])
    found, card = run_step(
        bits_per_byte, data=data.select("holdout"), training=data.select("train"), method="lzma", cluster="page"
    )
    score, items = found.score(), found.items()
    size = np.array([len(r["text"].encode()) for r in rows[240:]])
    assert items.column("weight").to_pylist() == size.tolist()
    assert score.value == pytest.approx(items.column("bits").to_numpy().sum() / size.sum())
    assert 1.5 < score.value < 3.5
    assert score.interval.low < score.value < score.interval.high
    assert (score.n, score.n_clusters, score.cluster_unit) == (60, len({r["page"] for r in rows[240:]}), "page")
    assert score.direction == "lower is better"
    assert score.model == "none"
    assert score.contamination in ("checked", "clean subset given")
    assert "of 60 items share a run of 13 words" in score.contamination_note
    assert card.metrics["bytes"] == size.sum()


def test_leaked_documents_are_found_and_the_others_scored_apart(paragraphs, make_dataset, run_step):
    training, fresh = paragraphs[:80], paragraphs[80:100]
    leaked = [f"{paragraphs[3]} And something new.", paragraphs[7]]
    data = make_dataset(train=[{"text": t} for t in training], holdout=[{"text": t} for t in [*fresh, *leaked, "Hm."]])
    found, card = run_step(bits_per_byte, data=data.select("holdout"), training=data.select("train"), method="lzma")
    share = found.items().column("overlap_13").to_pylist()
    assert share[-3] > 0.8
    assert share[-2] == 1
    assert share[-1] is None
    assert card.metrics["items_in_training_data"] >= 2
    assert card.metrics["items_too_short_to_tell"] == 1
    full, clean = found.score(NAME), found.score(NAME + CLEAN)
    assert full.contamination == clean.contamination == "clean subset given"
    assert clean.value > full.value
    assert clean.n == sum(s == 0 for s in share)
    assert found.items().column(NAME + CLEAN).null_count == 23 - clean.n


def test_a_real_model_knows_its_stories_better_than_an_encyclopedia(stories, paragraphs, make_dataset, run_step):
    told = [{"text": STORY}, {"text": "Tom and his dog went to the lake. They saw a big fish and were very happy."}]
    near, _ = run_step(bits_per_byte, data=make_dataset(told), model=stories)
    far, _ = run_step(bits_per_byte, data=make_dataset([{"text": p[:400]} for p in paragraphs[:4]]), model=stories)
    assert near.score().value < 1.2
    assert far.score().value > 2 * near.score().value
    assert near.score().contamination == "unknown"
    assert near.score().model == stories.digest
    from loomwork.models.decoder import load_decoder

    expected = -load_decoder(stories).log_probabilities([STORY])[0] / np.log(2)
    assert near.items().column("bits")[0].as_py() == pytest.approx(expected, abs=1e-3)


def test_the_n_gram_model_knows_best_what_it_was_made_of(paragraphs, make_dataset, run_step):
    data = make_dataset(
        train=[{"text": p} for p in paragraphs[:400]], holdout=[{"text": p} for p in paragraphs[400:440]]
    )
    held, _ = run_step(bits_per_byte, data=data.select("holdout"), training=data.select("train"), method="ngram")
    seen, _ = run_step(bits_per_byte, data=data.select("train"), training=data.select("train"), method="ngram")
    assert 1.5 < held.score().value < 3.5
    assert seen.score().value < held.score().value
    assert seen.score().contamination == "unknown"  # all of it overlaps: "checked" would read as clean
    assert "400 of 400 items share" in seen.score().contamination_note


def test_inputs_that_do_not_fit_the_method_are_refused(make_dataset, run_step, stories):
    data = make_dataset([{"text": "one"}, {"text": "two"}])
    with pytest.raises(InputError, match="needs a model"):
        run_step(bits_per_byte, data=data)
    with pytest.raises(InputError, match="learns from `training`"):
        run_step(bits_per_byte, data=data, method="lzma")
    with pytest.raises(InputError, match="learns from `training`"):
        run_step(bits_per_byte, data=data, training=data, model=stories, method="ngram")
    with pytest.raises(InputError, match="learns nothing here"):
        run_step(bits_per_byte, data=data, training=data, model=stories)
    with pytest.raises(InputError, match="no text in column"):
        run_step(bits_per_byte, data=make_dataset([{"text": "a"}, {"text": ""}]), training=data, method="lzma")


def test_a_model_that_may_have_seen_more_than_the_training_text_stays_unknown(stories, make_dataset, run_step):
    data = make_dataset(train=[{"text": "Something else."}], holdout=[{"text": STORY}, {"text": STORY[:80]}])
    found, _ = run_step(bits_per_byte, data=data.select("holdout"), seen=[data.select("train")], model=stories)
    assert found.score().contamination == "unknown"
    assert "0 of 2 items share" in found.score().contamination_note
    assert "its base was trained on is unknown" in found.score().contamination_note
