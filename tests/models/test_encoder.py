"""Encoders against transformers, with the real MiniLM and small random models of other architectures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.models.encoder import by_length, load_encoder, pad
from loomwork.models.folder import BESIDE, guess_about, read_about, save_about
from loomwork.train.base import base

TEXTS = [
    "Merge two sorted lists.",
    "",
    "naïve café — 東京 \u0000 tabs\tand\nlines",
    "[SEP] is a control token here too",
    "word " * 600,
    "Return the number of items; raise ValueError where there are none. " * 3,
    "a",
]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp("minilm")
    base(out=out)
    return Model(out)


def of_transformers(folder: Path, texts: list[str], max_tokens: int) -> np.ndarray:
    """Mean-pooled unit vectors, text by text, by transformers alone."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModel.from_pretrained(folder, dtype=torch.float32).eval(),
    )
    vectors = []
    with torch.inference_mode():
        for text in texts:
            states = model(
                **tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
            ).last_hidden_state
            vectors.append(torch.nn.functional.normalize(states[0].mean(0), dim=0).numpy())
    return np.stack(vectors)


@pytest.mark.parametrize("max_tokens", [16, 256])
def test_equal_to_transformers(minilm, max_tokens):
    ours = load_encoder(minilm).embed(TEXTS, max_tokens=max_tokens)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, of_transformers(minilm.path, TEXTS, max_tokens), atol=1e-5)


def test_openvino_is_equal_to_torch(minilm, tmp_path):
    shutil.copytree(minilm.path, tmp_path / "ov")
    save_about(tmp_path / "ov", replace(read_about(minilm), engine="openvino"))
    found = load_encoder(Model(tmp_path / "ov")).embed(TEXTS)
    np.testing.assert_allclose(found, load_encoder(minilm).embed(TEXTS), atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(minilm):
    encoder = load_encoder(minilm)
    together = encoder.embed(TEXTS * 3, batch_tokens=300)
    alone = np.concatenate([encoder.embed([t]) for t in TEXTS])
    for third in np.split(together, 3):
        np.testing.assert_allclose(third, alone, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_the_same_call_gives_the_same_bytes(minilm):
    encoder = load_encoder(minilm)
    assert encoder.embed(TEXTS).tobytes() == encoder.embed(TEXTS).tobytes()


def test_no_texts(minilm):
    assert load_encoder(minilm).embed([]).shape == (0, 384)


@pytest.mark.parametrize("kind", ["distilbert", "roberta"])
def test_other_architectures_run_on_transformers(minilm, tmp_path, kind):
    from transformers import DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

    torch.manual_seed(0)
    if kind == "distilbert":
        made = DistilBertModel(DistilBertConfig(dim=32, hidden_dim=64, n_layers=2, n_heads=4))
    else:
        small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        made = RobertaModel(RobertaConfig(vocab_size=30522, max_position_embeddings=600, **small))
    made.save_pretrained(tmp_path)
    for name in BESIDE:
        if name.startswith(("tokenizer", "vocab", "special")) and (minilm.path / name).exists():
            shutil.copy(minilm.path / name, tmp_path / name)
    expected = of_transformers(tmp_path, TEXTS, 64)
    np.testing.assert_allclose(load_encoder(Model(tmp_path)).embed(TEXTS, max_tokens=64), expected, atol=1e-5)


def test_what_cannot_be_loaded_is_refused_with_the_reason(minilm, tmp_path):
    shutil.copytree(minilm.path, tmp_path / "m")
    model = Model(tmp_path / "m")
    save_about(model.path, replace(read_about(minilm), engine="torhc"))
    with pytest.raises(InputError, match="no engine 'torhc'"):
        load_encoder(model)
    save_about(model.path, replace(read_about(minilm), task="generate"))
    with pytest.raises(InputError, match="for the task 'generate'"):
        load_encoder(model)
    (model.path / "loomwork.json").write_text(json.dumps({"task": "embed", "poling": "mean"}))
    with pytest.raises(InputError, match="unknown field 'poling'"):
        load_encoder(model)
    (model.path / "loomwork.json").unlink()
    (model.path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        load_encoder(model)


def test_a_sentence_transformers_folder_says_how_it_pools(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (tmp_path / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 512}')
    (tmp_path / "README.md").write_text("---\nlicense: mit\ndatasets:\n- a\n- b\n---\n# hi\n")
    about = guess_about(tmp_path)
    assert (about.pooling, about.max_tokens, about.licence, about.training_data) == ("cls", 512, "mit", ["a", "b"])


@pytest.mark.parametrize(
    ("sentences", "tokenizer", "config", "expected"),
    [
        (None, 512, {"max_position_embeddings": 32}, 32),
        (256, 128, {"max_position_embeddings": 512}, 256),  # sentence-transformers sets its own in the tokenizer
        (None, None, {"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, 512),
        (None, 1e30, {"n_positions": 64}, 64),
        (None, 300, {}, 300),
        (None, None, {}, 512),
    ],
)
def test_how_much_a_folder_says_that_it_reads(sentences, tokenizer, config, expected, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": sentences}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": tokenizer}))
    assert guess_about(tmp_path).max_tokens == expected


def test_embedding_on_openvino_imports_no_torch(minilm, tmp_path):
    shutil.copytree(minilm.path, tmp_path / "ov")
    save_about(tmp_path / "ov", replace(read_about(minilm), engine="openvino"))
    code = (
        "import sys; from pathlib import Path; from loomwork.core.artifact import Model;"
        "from loomwork.models.encoder import load_encoder;"
        f"load_encoder(Model(Path({str(tmp_path / 'ov')!r}))).embed(['x']);"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_batches_hold_every_row_once_and_keep_to_their_size():
    lengths = [5, 1, 9, 9, 2, 30]
    batches = list(by_length(lengths, 18))
    assert sorted(r for b in batches for r in b) == list(range(6))
    assert all(len(b) == 1 or len(b) * max(lengths[r] for r in b) <= 18 for b in batches)
    ids, counts = pad([[4, 5], [6]])
    assert ids.tolist() == [[4, 5], [6, 0]]
    assert counts.tolist() == [2, 1]
