"""Predicted tags: those of transformers, in a new column, and scored by evals.ner."""

from __future__ import annotations

import shutil

import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.data.read import read
from loomwork.evals.ner import ner
from loomwork.evals.tag import tag
from loomwork.models.tagger import load_tagger

CLASSES = ["B-location", "B-person", "I-person", "O"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture(scope="module")
def tagger(minilm, tmp_path_factory) -> Model:
    """A random tagger of two layers with MiniLM's tokenizer: what it says is arbitrary, and must be repeated."""
    from transformers import BertConfig, BertForTokenClassification

    out = tmp_path_factory.mktemp("tagger")
    for file in minilm.path.iterdir():
        if file.name not in ("model.safetensors", "config.json", "loomwork.json") and file.is_file():
            shutil.copyfile(file, out / file.name)
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {c: i for i, c in enumerate(CLASSES)}}
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertForTokenClassification(BertConfig(**shape, **names, initializer_range=0.5)).save_pretrained(out)
    return Model(out)


@pytest.fixture
def sentences(test_data, run_step):
    found, _ = run_step(read, path=test_data / "ner" / "wnut17" / "emerging.test.annotated", reader="conll")
    return found


def test_tags_are_those_of_transformers(tagger, sentences):
    """One sentence at a time, the tag of each word's first token, with transformers' own tokenizer and model."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    model = AutoModelForTokenClassification.from_pretrained(tagger.path, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(tagger.path, local_files_only=True)
    texts = [r["tokens"] for r in sentences.rows()][:60]
    ours = load_tagger(tagger).tags(texts)
    assert len({t for said in ours for t in said}) > 1
    for words, said in zip(texts, ours, strict=True):
        inputs = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            best = model(**inputs).logits[0].argmax(-1).tolist()
        expected = ["O"] * len(words)
        for place, word in reversed(list(enumerate(inputs.word_ids()))):
            if word is not None:
                expected[word] = CLASSES[best[place]]
        assert said == expected


def test_it_is_scored_and_the_rows_stay(tagger, sentences, run_step):
    found, card = run_step(tag, data=sentences, model=tagger)
    assert card.metrics["rows"] == len(found) == 1287
    rows, before = list(found.rows()), list(sentences.rows())
    assert [r["tokens"] for r in rows] == [r["tokens"] for r in before]
    assert [list(map(bytes, r["origin_ids"])) for r in rows] == [[bytes(r["row_id"])] for r in before]
    assert all(len(r["prediction"]) == len(r["tokens"]) for r in rows)
    scores, _ = run_step(ner, rows=found)
    assert 0 <= scores.score("f1").value < 20  # it is random
    again, _ = run_step(tag, data=found, model=tagger)
    assert again.schema.names.count("prediction") == 1


def test_words_beyond_what_is_read_are_outside(tagger):
    long = ["word"] * 600
    (said,) = load_tagger(tagger).tags([long])
    assert len(said) == 600
    assert set(said[-80:]) == {"O"}


def test_bad_input_is_refused(tagger, make_dataset, run_step):
    with pytest.raises(InputError, match="does not hold lists of words"):
        run_step(tag, data=make_dataset([{"tokens": "a text"}]), model=tagger)
    with pytest.raises(InputError, match="no column 'words'"):
        run_step(tag, data=make_dataset([{"tokens": ["a"]}]), model=tagger, words="words")
